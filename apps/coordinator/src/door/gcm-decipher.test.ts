import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '@croft/runtime/random';
import { createGcmDecipher, type PacketDecipher } from './gcm-decipher.ts';

const key = Buffer.from(systemRandom.hex(16), 'hex');
const iv = '0102030400000000000000fe';

/** As RFC 4253 and RFC 5647 say. @param count of the packet, from 0 */
function encrypted(payload: Uint8Array, count = 0, toldPadding?: number): Buffer {
  const padding = 4 + ((11 - payload.length) & 15);
  const plain = Buffer.concat([Buffer.of(toldPadding ?? padding), payload, Buffer.alloc(padding)]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(plain.length);
  const counter = (BigInt(`0x${iv.slice(8)}`) + BigInt(count)).toString(16).padStart(16, '0');
  const one = createCipheriv('aes-128-gcm', key, Buffer.from(iv.slice(0, 8) + counter, 'hex')).setAAD(length);
  return Buffer.concat([length, one.update(plain), one.final(), one.getAuthTag()]);
}

interface Stage {
  readonly decipher: PacketDecipher;
  /** What came, as it was then. */
  readonly payloads: Buffer[];
  /** The same, as it is now. */
  readonly given: Buffer[];
}

interface Wish {
  /** Whoever takes payloads says that they were copied. */
  readonly copies?: boolean;
  readonly answer?: number | false;
}

function openStage({ copies = false, answer }: Wish = {}): Stage {
  const [payloads, given]: [Buffer[], Buffer[]] = [[], []];
  const taken = { isCopied: false };
  const decipher = createGcmDecipher({
    algorithm: 'aes-128-gcm',
    key,
    iv: Buffer.from(iv, 'hex'),
    inSeqno: 7,
    taken,
    onPayload(payload) {
      given.push(payload);
      payloads.push(Buffer.from(payload));
      taken.isCopied = copies;
      return answer;
    },
  });
  return { decipher, payloads, given };
}

const someBytes = fc.uint8Array({ minLength: 1, maxLength: 300 });

test('packets come out as they were, however they are cut on their way', () =>
  fc.assert(
    fc.property(fc.array(someBytes, { maxLength: 12 }), fc.array(fc.nat({ max: 500 })), fc.boolean(), (packets, sizes, copies) => {
      const { decipher, payloads } = openStage({ copies });
      const stream = Buffer.concat(packets.map((payload, at) => encrypted(payload, at)));
      for (let at = 0, turn = 0; at < stream.length; turn += 1) {
        const size = (sizes[turn % sizes.length] ?? 1_000) + 1;
        const chunk = Buffer.concat([Buffer.from('before'), stream.subarray(at, at + size), Buffer.from('after')]);
        assert.equal(decipher.decrypt(chunk, 6, chunk.length - 5), undefined);
        chunk.fill(0); // nothing of it is needed any more
        at += size;
      }
      assert.deepEqual(
        payloads,
        packets.map((payload) => Buffer.from(payload)),
      );
      assert.equal(decipher.inSeqno, 7 + packets.length);
    }),
  ));

test('the largest packets come out as well, and none that is larger', () => {
  const { decipher, payloads } = openStage();
  const largest = encrypted(Buffer.alloc(34_950, 'x'));
  decipher.decrypt(largest, 0, largest.length);
  assert.equal(payloads[0]?.length, 34_950);
  const larger = encrypted(Buffer.alloc(35_000, 'x'), 1);
  assert.throws(() => decipher.decrypt(larger, 0, larger.length), /Bad packet length/);
});

test('memory of what was copied is given back at once, and that of anything else is left alone', () => {
  const packet = encrypted(Buffer.from('hello'));
  const kept = [true, false].map((copies) => {
    const { decipher, given } = openStage({ copies });
    decipher.decrypt(packet, 0, packet.length);
    return String(given[0]);
  });
  assert.deepEqual(kept, ['', 'hello']);
});

test('where the rest is for another decipher, it is told where that begins', () => {
  const packet = encrypted(Buffer.from('new keys'));
  const stream = Buffer.concat([packet, Buffer.from('of another')]);
  assert.equal(openStage({ answer: false }).decipher.decrypt(stream, 0, stream.length), packet.length);
  assert.equal(openStage({ answer: 3 }).decipher.decrypt(stream, 0, stream.length), 3);
});

test('who takes payloads may be another from one packet to the next, as while keys are exchanged', () => {
  const { decipher, payloads } = openStage();
  const others: string[] = [];
  const [first, second] = [encrypted(Buffer.from('first')), encrypted(Buffer.from('second'), 1)];
  decipher.decrypt(first, 0, first.length);
  decipher._onPayload = (payload) => void others.push(String(payload));
  decipher.decrypt(second, 0, second.length);
  assert.deepEqual([payloads.map(String), others], [['first'], ['second']]);
});

test('what is not authentic, of no length that packets have, or padded beyond its beginning, is refused and given to nobody', () => {
  const flipped = encrypted(Buffer.from('hello'));
  flipped.writeUInt8(flipped.readUInt8(9) ^ 1, 9);
  const lengths = [0, 15, 17, 35_008, 0x7fff_fff0, 0xffff_fff0].map((length) => {
    const packet = encrypted(Buffer.from('hello'));
    packet.writeUInt32BE(length);
    return packet;
  });
  for (const packet of [flipped, ...lengths, encrypted(Buffer.alloc(31), 0, 255)]) {
    const { decipher, payloads } = openStage();
    assert.throws(() => decipher.decrypt(packet, 0, packet.length));
    assert.deepEqual(payloads, []);
  }
});
