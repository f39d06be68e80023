import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ServerChannel } from 'ssh2';
import { release } from '@croft/streams/release';
import { openIntake } from './channel-intake.ts';

/** As the library’s: what comes is gone once it was taken in. */
function fakeChannel({ window = 1_000_000 } = {}) {
  const asked = { count: 0 };
  const cut = { isCut: false };
  const stream = new Duplex({ read: () => void (asked.count += 1), write() {}, emitClose: false });
  const { push } = stream;
  const channel = Object.assign(stream, { incoming: { window }, _client: { _sock: { destroy: () => (cut.isCut = true) } } });
  const send = (bytes: Uint8Array): void => {
    const packet = Buffer.from(bytes);
    const isTakenIn = channel.push !== push;
    channel.push(packet);
    if (isTakenIn) packet.fill(0);
  };
  return { channel: channel as unknown as ServerChannel, asked, cut, send, end: () => void channel.push(null) };
}

test('what comes is given in order and whole, however fast it is read, and is released in turn', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 33_000 })), { maxLength: 60 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 1 }),
      async (sizes, pauses) => {
        const { channel, send, end } = fakeChannel();
        const sent = sizes.map((size, at) => Buffer.alloc(size, `${at}.`));
        sent.slice(0, 2).forEach(send); // before anybody takes it in
        const intake = openIntake(channel);
        const got: Buffer[] = [];
        const pause = async (turns: number, piece: Buffer): Promise<void> => {
          for (let left = turns; left > 0; left -= 1) await new Promise(setImmediate);
          release(piece);
        };
        const reading = intake((piece) => {
          got.push(Buffer.from(piece));
          const turns = pauses[got.length % pauses.length] ?? 0;
          if (turns > 0) return pause(turns, piece);
          release(piece);
          return undefined;
        });
        for (const [at, bytes] of sent.slice(2).entries()) {
          if (at % 3 === 0) await new Promise(setImmediate);
          send(bytes);
        }
        end();
        await reading;
        assert.ok(Buffer.concat(got).equals(Buffer.concat(sent)));
      },
    ),
    { numRuns: 30 },
  ));

test('a client may send more only when its reader has taken what came', async () => {
  const { channel, asked, send } = fakeChannel();
  const dealt = Promise.withResolvers<void>();
  const got: number[] = [];
  void openIntake(channel)((piece) => {
    got.push(piece.length);
    return dealt.promise;
  });
  const turn = (): Promise<void> => new Promise((done) => setImmediate(done));
  send(Buffer.alloc(5_000));
  await turn();
  await turn();
  const before = asked.count;
  send(Buffer.alloc(30_000));
  send(Buffer.alloc(30_000));
  await turn();
  assert.deepEqual([got, asked.count], [[5_000], before]);
  dealt.resolve();
  await turn();
  assert.deepEqual([got, asked.count], [[5_000, 60_000], before + 1]);
});

test('a client that sends more than it may is cut', () => {
  const { channel, cut, send } = fakeChannel({ window: -1 });
  openIntake(channel);
  send(Buffer.from('too much'));
  assert.ok(cut.isCut);
});

test('a channel that is closed before its end gives what had come, and throws', async () => {
  const { channel, send } = fakeChannel();
  const intake = openIntake(channel);
  send(Buffer.from('half'));
  channel.emit('close');
  let got = '';
  await assert.rejects(
    intake((piece) => void (got += piece.toString())),
    /closed/,
  );
  assert.equal(got, 'half');
});
