/** Large output, slow readers and full disks. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { closeSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { ReadStream } from 'node:tty';
import { gzipSync } from 'node:zlib';
import { systemClock } from '@croft/runtime/clock';
import { openSegmentLog } from '@croft/streams/segment-log';
import { complete, endOf, readOutput, runId, shell, startMachine, withCode } from '../testing.ts';
import { onSmallDisk } from '../testing-disk.ts';
import { createAllowance, startDrain } from './drain.ts';
import { createOutput } from './outputs.ts';
import type { Terminal } from '../commands/command.ts';
import { openPipeStock } from '../commands/pipes.ts';
import { pumpPipe } from '../commands/pump.ts';

const megabyte = 1024 * 1024;

async function rssBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8');
  return Number(text.split(' ')[1]) * 4096;
}

test('200 MB of output arrive exactly, while the buildlet’s memory stays as it is', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const script = 'seq 1 3000000 > block; for n in 1 2 3 4 5 6 7 8 9; do cat block; done';
  await client.startOrAttach(runId('large'), shell(script), 1, {});
  const hash = createHash('sha256');
  let size = 0;
  let rss = 0;
  for await (const piece of client.output(runId('large'), 0, {})) {
    hash.update(piece);
    size += piece.length;
    rss = Math.max(rss, await rssBytes(buildlet.pid));
  }
  const expected = createHash('sha256');
  const block = await readFile(join(buildlet.workDir, 'block'));
  for (let count = 0; count < 9; count += 1) expected.update(block);
  assert.equal(size, 9 * block.length);
  assert.ok(size > 200e6, String(size));
  assert.equal(hash.digest('hex'), expected.digest('hex'));
  assert.ok(rss < 200 * megabyte, `it took ${rss} bytes`);
});

test('the pump hands on every byte in order, whatever the sizes of writes and the speed of the store', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-pump-'));
  try {
    await using stock = await openPipeStock(join(dir, 'pipes'));
    using pipe = await stock.take();
    const child = spawn(
      'sh',
      ['-c', 'i=0; while [ $i -lt 40 ]; do head -c $((i * 7919)) /dev/zero | tr "\\0" "\\\\$((101 + i % 7))"; i=$((i+1)); done'],
      {
        stdio: ['ignore', pipe.writeFd, 'inherit'],
      },
    );
    const got: Buffer[] = [];
    const pump = pumpPipe(pipe.takeReadEnd(), async (piece) => {
      if (got.length % 3 === 0) await systemClock.sleep(3);
      got.push(Buffer.from(piece));
    });
    await once(child, 'exit');
    pipe[Symbol.dispose]();
    await pump.done;
    const expected = Array.from({ length: 40 }, (_, index) => Buffer.alloc(index * 7919, 0o101 + (index % 7)));
    assert.ok(Buffer.concat(got).equals(Buffer.concat(expected)));
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('what a terminal gives between its end and its closing is stored, though all before it was', async () => {
  const got: string[] = [];
  const open: Terminal['open'] = ({ buffer, callback }) => {
    const giveRest = (): void => {
      const target = typeof buffer === 'function' ? buffer() : buffer;
      callback(Buffer.from(target.buffer, target.byteOffset).write('rest'), target);
    };
    const stream = new Readable({
      read: () => void stream.push(null),
      destroy(error, done) {
        giveRest();
        done(error);
      },
    });
    return stream as unknown as ReadStream;
  };
  await pumpPipe({ open }, async (piece) => void got.push(piece.toString())).done;
  assert.deepEqual(got, ['rest']);
});

test('a pipe that somebody outside of the tree holds open is abandoned after the tree is dead', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-drain-'));
  try {
    await using stock = await openPipeStock(join(dir, 'pipes'));
    const pipe = await stock.take();
    await using spool = await openSegmentLog(join(dir, 'spool'));
    const drain = startDrain({
      source: pipe.takeReadEnd(),
      output: createOutput(spool),
      allowance: createAllowance(1_000),
      spoolLimitBytes: 1_000,
      onOverLimit: () => {},
      disk: { seen: async () => ({ freeBytes: 1e12, low: false }) },
      clock: systemClock,
      signal: systemClock.deadline(20_000),
    });
    writeSync(pipe.writeFd, 'before');
    await drain.finish();
    assert.equal(spool.length, 6);
    closeSync(pipe.writeFd);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('a command waits while the disk is full, and goes on without a gap when there is room', async (context) => {
  await onSmallDisk(context, 24, async (dir) => {
    await using machine = await startMachine({ dir });
    const { client } = machine;
    await client.startOrAttach(
      runId('a'),
      shell('i=0; while [ $i -lt 4000 ]; do printf "%010000d" $i; i=$((i+1)); done; echo done'),
      1,
      {},
    );
    const hash = createHash('sha256');
    let size = 0;
    for await (const piece of client.output(runId('a'), 0, { signal: systemClock.deadline(60_000) })) {
      hash.update(piece);
      size += piece.length;
      await client.ack(runId('a'), size, 1, {});
    }
    const expected = createHash('sha256');
    for (let index = 0; index < 4000; index += 1) expected.update(String(index).padStart(10_000, '0'));
    assert.equal(size, 40_000_005);
    assert.equal(hash.digest('hex'), expected.update('done\n').digest('hex'));
    assert.deepEqual((await endOf(client, 'a')).exit, { kind: 'exited', code: 0 });
  });
});

test('an archive that would fill the disk is refused with the reason, and work goes on', async (context) => {
  await onSmallDisk(context, 24, async (dir) => {
    await using machine = await startMachine({ dir, lowWaterBytes: 4 * megabyte });
    async function* bomb(): AsyncGenerator<Uint8Array> {
      yield gzipSync(Buffer.concat([tarHeader('zeros', 100 * megabyte), Buffer.alloc(100 * megabyte + 1024)]));
    }
    await assert.rejects(machine.client.putTarGz('bomb', bomb(), 1, {}), withCode('exhausted'));
    await machine.client.removeAll(['bomb'], 1, {});
    const { output } = await complete(machine.client, 'after', shell('echo still here'));
    assert.equal(String(output), 'still here\n');
    assert.equal(String(await readOutput(machine.client, 'after', 6)), 'here\n');
  });
});

function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name);
  header.write('0000644\0', 100);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        0', 148);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
