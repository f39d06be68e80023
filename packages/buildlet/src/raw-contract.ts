/** What our buildlet alone does for sessions, by whatever way it is reached: raw connections, whose ways end by themselves, and standard error. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { BuildletStage } from './buildlet-contract.ts';

const epoch = 7;
const waits = { signal: systemClock.deadline(100 * SECOND) };

export function rawContract(name: string, open: () => Promise<BuildletStage>): void {
  describe(`${name}, for sessions`, () => {
    let stage: BuildletStage;
    before(async () => void (stage = await open()));
    after(() => stage[Symbol.asyncDispose]());

    test('reaches a port of the machine, and hears what is said after its own last word', async () => {
      const server = createServer({ allowHalfOpen: true }, (socket) => void text(socket).then((asked) => socket.end(`heard ${asked}`)));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const { port } = server.address() as AddressInfo;
      const line = await stage.buildlet.connect(port, epoch, waits);
      line.end('all of it');
      assert.equal(await text(line), 'heard all of it');
      server.close();
      await assert.rejects(stage.buildlet.connect(port, epoch, waits), (error) => isCode(error, 'unavailable'));
    });

    test('listens on the machine, and gives who comes', async () => {
      for (const where of [{ kind: 'tcp', port: 0 }, { kind: 'unix' }, { kind: 'unix', path: 'knocker' }] as const) {
        await using listening = await stage.buildlet.listen(where, epoch, waits);
        const theirs = connect({ ...listening.place, allowHalfOpen: true });
        theirs.end('knock');
        const arrivals = listening.connections[Symbol.asyncIterator]();
        const next = await arrivals.next();
        assert.ok(!next.done);
        assert.equal(await text(next.value), 'knock');
        next.value.end('come in');
        assert.equal(await text(theirs), 'come in');
      }
    });

    test('keeps standard error apart where it is asked to', async () => {
      const id = parseRunId('S0.apart');
      const argv = ['sh', '-c', 'echo out; echo err >&2'];
      const limits = { limitMs: 60 * SECOND, outputLimitBytes: 1_000 };
      await stage.buildlet.startOrAttach(id, { argv, dir: '.', env: {}, ...limits, stderr: 'own' }, epoch, waits);
      assert.deepEqual(await Array.fromAsync(stage.buildlet.output(id, 0, { ...waits, stream: 'stderr' }), String), ['err\n']);
      await stage.buildlet.ack(id, 4, epoch, { ...waits, stream: 'stderr' });
      assert.deepEqual(await Array.fromAsync(stage.buildlet.output(id, 0, waits), String), ['out\n']);
    });
  });
}

/** To its end, which leaves the other way open. */
async function text(stream: Duplex): Promise<string> {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  await once(stream, 'end');
  return Buffer.concat(pieces).toString();
}
