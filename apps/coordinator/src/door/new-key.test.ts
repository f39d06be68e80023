import assert from 'node:assert/strict';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { newKey } from './new-key.ts';
import { parseKeyLine } from './public-key.ts';

test('each of so many new keys can be read again, where the library breaks one in 256', () => {
  const blobs = new Set<string>();
  for (let count = 0; count < 3_000; count += 1) {
    const { private: secret, public: line } = newKey('croft');
    const parsed = ssh2.utils.parseKey(secret);
    assert.ok(!(parsed instanceof Error));
    const { blob } = parseKeyLine(line).key;
    assert.deepEqual(parsed.getPublicSSH(), blob);
    blobs.add(blob.toString('hex'));
  }
  assert.equal(blobs.size, 3_000);
});
