/** Much data through the door, with keys that change on the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '@croft/runtime/random';
import { host, openDoorStage } from './testing-door.ts';

const inst = `ann-linux-0@${host}`;

for (const cipher of ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'])
  test(`with ${cipher}, what goes in comes out the same while keys are exchanged anew`, async () => {
    await using stage = await openDoorStage();
    const input = systemRandom.hex(400_000);
    const { code, stdout, stderr } = await stage.ssh(['-c', cipher, '-o', 'RekeyLimit=256K', inst, 'tee /dev/stderr'], { input });
    assert.deepEqual([code, stdout.length, stderr.length], [0, input.length, input.length]);
    assert.ok(stdout === input, 'the output is the input');
    assert.ok(stderr === input, 'and so is standard error');
  });
