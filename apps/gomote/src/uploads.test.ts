/** Uploads that a restart of the farm cuts: repeated by themselves, as downloads and runs are. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { systemRandom } from '@croft/runtime/random';
import type { Ran } from '@croft/cli/testing';
import { openTestFarm, type TestFarm } from './testing.ts';

/** Long enough that it is under way when it is cut. */
const content = Buffer.from(systemRandom.hex(8 * 1024 ** 2), 'hex');

async function* oneFile(): AsyncGenerator<TarEntry> {
  yield { kind: 'file', path: Buffer.from('inner'), mode: 0o644, mtime: 0, size: content.length, content };
}

/** The farm goes away once the upload has begun, and comes back. */
async function cutAt(farm: TestFarm, request: RegExp, args: readonly string[]): Promise<Ran> {
  const ran = farm.gomote(args);
  await farm.whenAsked(request);
  await farm.pause();
  await farm.resume();
  return ran;
}

describe('an upload that is cut', () => {
  test('by push goes on with what had not arrived', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    mkdirSync(join(farm.home, 'app'));
    writeFileSync(join(farm.home, 'app', 'big'), content);
    writeFileSync(join(farm.home, 'app', 'locked'), 'read only', { mode: 0o444 });
    const ran = await cutAt(farm, /^PUT \/writetgz/, ['push', 'ann-linux-0', 'app']);
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, /; trying again\n/);
    const there = farm.machine('ann-linux-0').workDir;
    assert.deepEqual(readFileSync(join(there, 'app', 'big')), content);
    assert.equal(readFileSync(join(there, 'app', 'locked'), 'utf8'), 'read only');
    assert.equal(farm.asked.filter((one) => one.startsWith('GET /ls')).length, 2, 'what is there was asked anew');
  });

  test('by put or puttar of a file is sent again', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    writeFileSync(join(farm.home, 'big'), content);
    const put = await cutAt(farm, /^PUT \/write\?/, ['put', 'ann-linux-0', 'big']);
    assert.equal(put.status, 0, put.stderr);
    assert.match(put.stderr, /; trying again\n/);
    const there = farm.machine('ann-linux-0').workDir;
    assert.deepEqual(readFileSync(join(there, 'big')), content);
    const packed = packTarGz(oneFile(), { level: 0 });
    writeFileSync(join(farm.home, 'x.tar.gz'), Buffer.concat(await Array.fromAsync(packed, (piece) => Buffer.from(piece))));
    const unpacked = await cutAt(farm, /^PUT \/writetgz/, ['puttar', 'ann-linux-0', 'x.tar.gz']);
    assert.equal(unpacked.status, 0, unpacked.stderr);
    assert.deepEqual(readFileSync(join(there, 'inner')), content);
  });

  test('from standard input is not, and says why', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const ran = farm.gomote(['put', 'ann-linux-0', '-', 'big'], { stdin: content.toString('latin1') });
    await farm.whenAsked(/^PUT \/write\?/);
    await farm.pause();
    const { status, stderr } = await ran;
    await farm.resume();
    assert.equal(status, 3, stderr);
    assert.match(stderr, /Standard input comes only once/);
  });
});
