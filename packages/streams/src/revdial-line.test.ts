import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode, type CroftError } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import {
  createLineDecoder,
  encodeLine,
  liveness,
  maxLineBytes,
  openControlLine,
  type ControlLine,
  type ControlMessage,
} from './revdial-line.ts';

const anyMessage = fc.oneof(
  fc.constant<ControlMessage>({ command: 'keep-alive' }),
  fc.string({ maxLength: 300, unit: 'binary' }).map((connPath): ControlMessage => ({ command: 'conn-ready', connPath })),
  fc
    .record({ connPath: fc.string({ maxLength: 100 }), err: fc.string({ maxLength: 300, unit: 'binary' }) })
    .map((fields): ControlMessage => ({ command: 'pickup-failed', ...fields })),
  fc
    .string()
    .map((boot) => ({ boot, cpus: 2 }))
    .map((status): ControlMessage => ({ command: 'status', status })),
);

/** The bytes in pieces of any length. */
function inPieces(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const length of lengths) pieces.push(bytes.subarray(at, (at += length)));
  return [...pieces, bytes.subarray(at)];
}

test('messages come out as they went in, however the bytes were cut', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 20 }), fc.array(fc.nat({ max: 50 }), { maxLength: 30 }), (messages, lengths) => {
      const decode = createLineDecoder();
      const pieces = inPieces(Buffer.concat(messages.map(encodeLine)), lengths);
      assert.deepEqual(pieces.flatMap(decode), messages);
    }),
  );
});

test('any bytes give messages or `invalid`, and never hold back more than a line', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 10 }), (pieces) => {
      const decode = createLineDecoder();
      try {
        for (const piece of pieces) decode(piece);
      } catch (error) {
        assert.ok(isCode(error, 'invalid'), String(error));
      }
    }),
  );
});

test('a line of 4096 bytes is read, one of 4097 ends it, with or without its line feed (2.4)', () => {
  const lineOf = (bytes: number): Buffer => {
    const frame = '{"command":"conn-ready","connPath":""}\n'.length;
    return encodeLine({ command: 'conn-ready', connPath: 'x'.repeat(bytes - frame) });
  };
  assert.equal(createLineDecoder()(lineOf(maxLineBytes)).length, 1);
  assert.throws(
    () => lineOf(maxLineBytes + 1),
    (error) => isCode(error, 'too-large'),
  );
  assert.throws(
    () => createLineDecoder()(Buffer.from(`${' '.repeat(maxLineBytes)}\n`)),
    (error) => isCode(error, 'invalid'),
  );
  assert.throws(
    () => createLineDecoder()(Buffer.alloc(maxLineBytes, 0x20)),
    (error) => isCode(error, 'invalid'),
  );
});

test('what is not known is ignored: commands, fields, escapes of Go (2.4)', () => {
  const decode = createLineDecoder();
  const text = [
    '{"command":"dance","connPath":"/x"}',
    '{}',
    '{"command":"conn-ready","connPath":"/revdial?a=1\\u0026b=2","more":[1]}',
    ' {"command": "keep-alive", "err": null}\r',
  ].join('\n');
  assert.deepEqual(decode(Buffer.from(`${text}\n`)), [{ command: 'conn-ready', connPath: '/revdial?a=1&b=2' }, { command: 'keep-alive' }]);
});

test('what is no object of texts ends the line', () => {
  for (const text of ['', 'hello', '[]', '5', '{"command":5}', '{"command":"conn-ready","connPath":{}}', '{"command":"keep-alive"} {}']) {
    assert.throws(
      () => createLineDecoder()(Buffer.from(`${text}\n`)),
      (error) => isCode(error, 'invalid'),
      text,
    );
  }
});

test('a reason that is too long is cut so that the line fits, and keeps its path', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 6000 }), fc.integer({ min: 0, max: 4200 }), (err, pathLength) => {
      const line = encodeLine({ command: 'pickup-failed', connPath: 'p'.repeat(pathLength), err });
      assert.ok(line.length <= maxLineBytes);
      const [message] = createLineDecoder()(line);
      assert.ok(message?.command === 'pickup-failed' && (message.connPath.length === pathLength || pathLength > 4000));
    }),
  );
});

function openLine(): {
  clock: FakeClock;
  line: ControlLine;
  far: ReturnType<typeof duplexPair>[1];
  ends: CroftError[];
  told: ControlMessage[];
} {
  const [near, far] = duplexPair();
  const clock = new FakeClock();
  const ends: CroftError[] = [];
  const told: ControlMessage[] = [];
  const line = openControlLine(near, { clock, onMessage: (message) => told.push(message), onClosed: (why) => ends.push(why) });
  return { clock, line, far, ends, told };
}

test('garbage closes the line once, and what came before it counts', async () => {
  const { clock, line, far, ends, told } = openLine();
  far.write('{"command":"keep-alive"}\n');
  await clock.advance(0);
  far.write('GET / HTTP/1.1\r\n\r\n{"command":"keep-alive"}\n');
  await clock.advance(0);
  assert.deepEqual(told, [{ command: 'keep-alive' }]);
  assert.equal(ends.length, 1);
  assert.ok(line.closed && isCode(ends[0], 'invalid'));
});

test('a half-closed line is closed', async () => {
  const { clock, ends, far } = openLine();
  far.end();
  await clock.advance(0);
  assert.match(String(ends[0]), /ended by the other side/);
});

test('a message that does not go out in 10 s closes the line', async () => {
  const { clock, line, ends } = openLine();
  for (let sent = 0; sent < 2_000; sent += 1) line.send({ command: 'conn-ready', connPath: 'x'.repeat(100) });
  await clock.advance(liveness.writeMs - 1);
  line.check(Infinity);
  assert.deepEqual(ends, []);
  await clock.advance(1);
  line.check(Infinity);
  assert.match(String(ends[0]), /took no message for 10 s/);
});
