import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { sha256Hex } from '@croft/runtime/digest';
import { isCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { blobContract, type BlobStage } from './blob-contract.ts';
import type { BlobStore } from './blobs.ts';
import { openDirectoryBlobs } from './directory.ts';

const run = promisify(execFile);

interface DirectoryStage extends BlobStage {
  readonly dir: string;
  open(lowWaterBytes?: number): Promise<BlobStore>;
}

async function openStage(): Promise<DirectoryStage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-blobs-'));
  const clock = new FakeClock();
  return {
    dir,
    clock,
    open: (lowWaterBytes = 0) => openDirectoryBlobs(dir, { clock, random: systemRandom, lowWaterBytes }),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

blobContract('a directory', openStage);

async function* zeros(mebibytes: number): AsyncGenerator<Buffer> {
  const piece = Buffer.alloc(1024 * 1024);
  for (let count = 0; count < mebibytes; count += 1) yield piece;
}

test('below the low-water mark nothing is taken, and nothing is left of what was begun', async () => {
  await using stage = await openStage();
  const store = await stage.open(Number.MAX_SAFE_INTEGER);
  await assert.rejects(store.put(zeros(1), { maxBytes: 1e9 }), (error) => isCode(error, 'exhausted') && /free on/.test(error.message));
  assert.deepEqual(await readdir(join(stage.dir, 'drafts')), []);
});

test('a disk that fills up refuses the blob, leaves nothing of it, and takes a smaller one', async (context) => {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return context.skip('needs root on Linux to mount a small tmpfs');
  await using stage = await openStage();
  await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', stage.dir]);
  try {
    const store = await stage.open();
    await assert.rejects(
      store.put(zeros(4), { maxBytes: 1e9 }),
      (error) => isCode(error, 'exhausted') && /disk is full/.test(error.message),
    );
    assert.deepEqual(await readdir(join(stage.dir, 'drafts')), []);
    const { sha256 } = await store.put(zeros(1), { maxBytes: 1e9 });
    assert.ok(await store.find(sha256));
  } finally {
    await run('umount', [stage.dir]);
  }
});

test('a store killed while it writes has no half blob, and its draft is gone at the next start', async () => {
  await using stage = await openStage();
  const program = `
    import { openDirectoryBlobs } from ${JSON.stringify(import.meta.resolve('./directory.ts'))};
    import { systemClock } from '@croft/runtime/clock';
    import { systemRandom } from '@croft/runtime/random';
    const store = await openDirectoryBlobs(process.argv[1], { clock: systemClock, random: systemRandom, lowWaterBytes: 0 });
    async function* endless() {
      for (;;) {
        yield Buffer.alloc(65536);
        process.stdout.write('.');
      }
    }
    await store.put(endless(), { maxBytes: 1e12 });
  `;
  const args = ['--input-type=module', '--eval', program, stage.dir];
  const child = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await ended;
  assert.equal((await readdir(join(stage.dir, 'drafts'))).length, 1);
  await stage.open();
  assert.deepEqual(await readdir(stage.dir), ['drafts']);
  assert.deepEqual(await readdir(join(stage.dir, 'drafts')), []);
});

test('a large blob is stored and read without being held in memory', async () => {
  await using stage = await openStage();
  const store = await stage.open();
  const before = process.memoryUsage().arrayBuffers;
  const { sha256, bytes } = await store.put(zeros(256), { maxBytes: 1e9 });
  assert.equal(bytes, 256 * 1024 * 1024);
  let read = 0;
  let most = 0;
  for await (const piece of store.read(sha256)) {
    read += piece.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  assert.equal(read, bytes);
  assert.ok(most < bytes / 2, `${most} bytes were held`); // some 64 MiB of buffers nobody holds any more wait for V8 to collect them
});

test('what the disk cannot give is our own failure, also in the middle', async () => {
  await using stage = await openStage();
  const store = await stage.open();
  const { sha256 } = await store.put(zeros(1), { maxBytes: 1e9 });
  const path = join(stage.dir, sha256.slice(0, 2), sha256.slice(2));
  await rm(path);
  await mkdir(path); // can be opened, and not be read
  await assert.rejects(
    Array.fromAsync(store.read(sha256)),
    (error) => isCode(error, 'internal') && error.message.startsWith('read a blob: '),
  );
});

test('a reader whose blob is removed comes to its end', async () => {
  await using stage = await openStage();
  const store = await stage.open();
  const { sha256 } = await store.put(zeros(2), { maxBytes: 1e9 });
  let read = 0;
  for await (const piece of store.read(sha256)) {
    if (read === 0) await store.remove(sha256);
    read += piece.length;
  }
  assert.equal(read, 2 * 1024 * 1024);
  assert.equal(sha256, sha256Hex(Buffer.alloc(read)));
});
