import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { DoorChannel } from './door-channel.ts';
import { joinStream } from './join-stream.ts';

test('however often it waits for a machine that takes slowly, nothing is left on its stream, and all arrives', async () => {
  const got: string[] = [];
  let mostListeners = 0;
  const stream = new Duplex({
    highWaterMark: 1,
    read() {},
    write(piece, _encoding, done) {
      got.push(String(piece));
      mostListeners = Math.max(
        mostListeners,
        stream.listenerCount('close') + stream.listenerCount('error') + stream.listenerCount('drain'),
      );
      setImmediate(done);
    },
    final(done) {
      stream.push(null);
      done();
    },
  });
  const sent = Array.from({ length: 40 }, (_, at) => `piece ${at}`);
  const ended = Promise.withResolvers<unknown>();
  const channel: Partial<DoorChannel> = {
    closed: new AbortController().signal,
    async pour(take) {
      for (const piece of sent) await take(Buffer.from(piece));
    },
    write: async () => undefined,
    finish: () => undefined,
    end: ended.resolve,
  };
  await joinStream(channel as DoorChannel, stream, 'half');
  assert.deepEqual([got, await ended.promise], [sent, { code: 0 }]);
  assert.ok(mostListeners < 12, `${mostListeners} listeners`);
});
