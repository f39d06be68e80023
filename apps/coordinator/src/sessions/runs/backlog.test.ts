import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createBacklog } from './backlog.ts';

test('every reader gets every byte once and in order, whenever it asks and however the bytes lie in memory', () =>
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 5 }), fc.constant('read' as const), fc.constant('another room' as const)), {
        maxLength: 60,
      }),
      (acts) => {
        const backlog = createBacklog();
        const readers = [backlog.reader(), backlog.reader()];
        const got: number[] = [];
        const all: number[] = [];
        let room = { memory: new Uint8Array(400), filled: 0 };
        for (const act of acts) {
          if (act === 'read') got.push(...(readers[0]?.() ?? []).flatMap((piece) => [...piece]));
          else if (act === 'another room') room = { memory: new Uint8Array(400), filled: 0 };
          else {
            room.memory.set(act, room.filled);
            backlog.add(room.memory.subarray(room.filled, room.filled + act.length));
            room.filled += act.length;
            all.push(...act);
          }
        }
        got.push(...(readers[0]?.() ?? []).flatMap((piece) => [...piece]));
        assert.deepEqual(got, all);
        assert.deepEqual(
          (readers[1]?.() ?? []).flatMap((piece) => [...piece]),
          all,
        );
      },
    ),
  ));

test('keys that lie one after the other come as one piece', () => {
  const backlog = createBacklog();
  const room = Buffer.from('ls -l\n');
  for (let at = 0; at < room.length; at += 1) backlog.add(room.subarray(at, at + 1));
  assert.deepEqual(
    backlog
      .reader()()
      .map((piece) => Buffer.from(piece).toString()),
    ['ls -l\n'],
  );
});
