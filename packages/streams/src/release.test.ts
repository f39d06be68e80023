import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dropRead, release } from './release.ts';

test('the last chunk of its memory takes that with it, an earlier one and one of Node’s pool do not', () => {
  const whole = Buffer.allocUnsafeSlow(200_000);
  const [first, last] = [whole.subarray(0, 100_000), whole.subarray(100_000)];
  release(first);
  assert.equal(whole.length, 200_000);
  release(last);
  assert.deepEqual([whole.length, first.length, last.length], [0, 0, 0]);
  const small = Buffer.from('small');
  release(Buffer.from(small.buffer, 0, small.buffer.byteLength));
  assert.equal(small.toString(), 'small');
});

test('memory that is shared and left to the collector does not pile up', () => {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let left = 2_000; left > 0; left -= 1) {
    dropRead(Buffer.allocUnsafeSlow(64 * 1024).subarray(0, 60_000));
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  assert.ok(most < 16 * 1024 * 1024, `${most} bytes`);
});
