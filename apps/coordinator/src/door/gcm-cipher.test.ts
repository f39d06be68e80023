import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '@croft/runtime/random';
import { createGcmCipher, type PacketCipher } from './gcm-cipher.ts';

const key = Buffer.from(systemRandom.hex(16), 'hex');

interface Stage {
  readonly cipher: PacketCipher;
  /** What was sent since, decrypted as RFC 4253 and RFC 5647 say; throws when it is not authentic. */
  received(): Buffer[];
}

function openStage({ iv, isWaiting = false }: { iv: string; isWaiting?: boolean }): Stage {
  let sent = Buffer.alloc(0);
  const cipher = createGcmCipher({
    algorithm: 'aes-128-gcm',
    key,
    iv: Buffer.from(iv, 'hex'),
    outSeqno: 7,
    isWaiting: () => isWaiting,
    write(bytes, done) {
      sent = Buffer.concat([sent, bytes]);
      done?.();
    },
  });
  let counter = BigInt(`0x${iv.slice(8)}`);
  const received = (): Buffer[] => {
    const payloads: Buffer[] = [];
    while (sent.length > 0) {
      const length = sent.readUInt32BE();
      const one = createDecipheriv('aes-128-gcm', key, Buffer.from(iv.slice(0, 8) + counter.toString(16).padStart(16, '0'), 'hex'));
      one.setAAD(sent.subarray(0, 4));
      one.setAuthTag(sent.subarray(4 + length, 4 + length + 16));
      const plain = Buffer.concat([one.update(sent.subarray(4, 4 + length)), one.final()]);
      const padding = plain.readUInt8();
      assert.ok(length % 16 === 0 && padding >= 4 && padding < 20, `${padding} bytes of padding in ${length}`);
      payloads.push(plain.subarray(1, length - padding));
      sent = sent.subarray(4 + length + 16);
      counter = BigInt.asUintN(64, counter + 1n);
    }
    return payloads;
  };
  return { cipher, received };
}

function fill(cipher: PacketCipher, payload: Uint8Array): Buffer {
  const packet = cipher.allocPacket(payload.length);
  packet.set(payload, 5);
  return packet;
}

test('packets of every size arrive as they were, and each is counted', () =>
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 20 }), (payloads) => {
      const { cipher, received } = openStage({ iv: '0102030400000000000000ff' });
      for (const payload of payloads) cipher.encrypt(fill(cipher, payload));
      assert.deepEqual(
        received(),
        payloads.map((payload) => Buffer.from(payload)),
      );
      assert.equal(cipher.outSeqno, 7 + payloads.length);
    }),
  ));

test('the largest packets arrive as well, and larger ones than any', () => {
  const { cipher, received } = openStage({ iv: '010203040000000000000001' });
  for (const bytes of [32 * 1024 + 9, 100_000]) cipher.encrypt(fill(cipher, Buffer.alloc(bytes, bytes)));
  assert.deepEqual(
    received().map(({ length }) => length),
    [32 * 1024 + 9, 100_000],
  );
});

test('the number of packets comes round, and what is before it in the IV stays', () => {
  const { cipher, received } = openStage({ iv: '01020304ffffffffffffffff' });
  for (const text of ['a', 'b', 'c']) cipher.encrypt(fill(cipher, Buffer.from(text)));
  assert.deepEqual(received().map(String), ['a', 'b', 'c']);
});

test('packets that wait for new keys do not share their memory', () => {
  const { cipher, received } = openStage({ iv: '010203040000000000000001', isWaiting: true });
  const packets = ['first', 'other'].map((text) => fill(cipher, Buffer.from(text)));
  for (const packet of packets) cipher.encrypt(packet);
  assert.deepEqual(received().map(String), ['first', 'other']);
});

test('a cipher that was let go of sends nothing', () => {
  const { cipher, received } = openStage({ iv: '010203040000000000000001' });
  cipher.free();
  cipher.encrypt(fill(cipher, Buffer.from('late')));
  assert.deepEqual(received(), []);
});
