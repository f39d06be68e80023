import { test } from 'node:test';
import assert from 'node:assert/strict';
import { LogStore, blockLines, type StoreEvents } from './log-store.ts';
import { looksLikeError, scanLog } from './log-scan.ts';
import type { Listener, LogSource } from './log-source.ts';

interface FakeSource extends LogSource {
  text: string;
  live: boolean;
  reads: number;
  listener: Listener | undefined;
  followedFrom: number | undefined;
  write(text: string): void;
}

/** ASCII only, so offsets are positions. */
function fakeSource(text: string, live = false): FakeSource {
  const starts = (): number[] =>
    [0, ...[...source.text.matchAll(/\n/g)].map(({ index }) => index + 1)].filter((start) => start < source.text.length);
  const source: FakeSource = {
    text,
    live,
    reads: 0,
    listener: undefined,
    followedFrom: undefined,
    async locate(where) {
      const all = starts();
      const wanted = 'line' in where ? where.line : all.findLastIndex((start) => start <= where.offset);
      const line = Math.max(0, Math.min(wanted, all.length - 1));
      return { line, offset: all[line] ?? 0, lines: all.length, bytes: source.text.length, live: source.live };
    },
    async read(from, to) {
      source.reads += 1;
      return new TextEncoder().encode(source.text.slice(from, to));
    },
    follow(from, listener) {
      source.listener = listener;
      source.followedFrom = from;
      return () => {
        source.listener = undefined;
      };
    },
    write(more) {
      const from = source.text.length;
      source.text += more;
      source.listener?.onBytes(from, new TextEncoder().encode(more));
    },
  };
  return source;
}

function events(over: Partial<StoreEvents> = {}): StoreEvents {
  return {
    onGrown() {},
    onEnd() {},
    onTrouble: (error) => {
      throw error;
    },
    now: () => 0,
    ...over,
  };
}

const numbered = (count: number, from = 0): string => Array.from({ length: count }, (_, at) => `line ${from + at}\n`).join('');

test('any block of a complete log is loaded by range', async () => {
  const store = new LogStore(fakeSource(numbered(100_000)), events());
  await store.open();
  assert.equal(store.lines, 100_000);
  const block = await store.block(200);
  assert.equal(block.length, blockLines);
  assert.equal(block[3]?.text, `line ${200 * blockLines + 3}`);
  const last = await store.block(store.lastBlock);
  assert.equal(last.at(-1)?.text, 'line 99999');
});

test('a block that is asked for twice at once is read once', async () => {
  const source = fakeSource(numbered(1000));
  const store = new LogStore(source, events());
  await store.open();
  await Promise.all([store.block(1), store.block(1)]);
  await store.block(1);
  assert.equal(source.reads, 1);
});

test('held blocks are bounded however much is looked at', async () => {
  const store = new LogStore(fakeSource(numbered(200 * blockLines)), events());
  await store.open();
  for (let index = 0; index < 200; index += 1) await store.block(index);
  const held = Array.from({ length: 200 }, (_, index) => store.held(index)).filter((block) => block !== undefined);
  assert.equal(held.length, 64);
});

test('a live log is followed from the block in which it ends, and grows line by line', async () => {
  const source = fakeSource(numbered(600), true);
  const grown: number[] = [];
  const store = new LogStore(source, events({ onGrown: (line) => grown.push(line) }));
  await store.open();
  const from = numbered(2 * blockLines).length;
  assert.equal(source.followedFrom, from);
  source.listener?.onBytes(from, new TextEncoder().encode(source.text.slice(from)));
  source.write('half');
  source.write(' and half\nnext');
  assert.equal(store.lines, 602);
  assert.deepEqual(
    store
      .held(2)
      ?.slice(-2)
      .map(({ text }) => text),
    ['half and half', 'next'],
  );
  assert.equal(grown.at(-1), 600);
});

test('what a reconnection repeats is not shown twice', async () => {
  const source = fakeSource('', true);
  const store = new LogStore(source, events());
  await store.open();
  source.write('one\ntwo\n');
  source.listener?.onBytes(0, new TextEncoder().encode('one\ntwo\nthree\n'));
  assert.deepEqual(
    store.held(0)?.map(({ text }) => text),
    ['one', 'two', 'three'],
  );
});

test('a gap makes the store look again where the log ends', async () => {
  const source = fakeSource('one\n', true);
  const opened = Promise.withResolvers<void>();
  const store = new LogStore(source, events({ onGrown: () => store.lines === 4 && opened.resolve() }));
  await store.open();
  source.text += 'two\nthree\nfour\n';
  source.listener?.onBytes(8, new TextEncoder().encode('three\n'));
  await opened.promise;
  source.listener?.onBytes(0, new TextEncoder().encode(source.text));
  assert.deepEqual(
    store.held(0)?.map(({ text }) => text),
    ['one', 'two', 'three', 'four'],
  );
});

test('a flood is not read to its end: the store goes on at the end of the log', async () => {
  const source = fakeSource('', true);
  const reopened = Promise.withResolvers<void>();
  let opens = 0;
  const locate = source.locate;
  source.locate = (where) => {
    if ('line' in where && where.line === Number.MAX_SAFE_INTEGER) opens += 1;
    if (opens === 2) reopened.resolve();
    return locate(where);
  };
  const store = new LogStore(source, events());
  await store.open();
  const megabyte = numbered(80_000)
    .slice(0, 1024 * 1024 - 1)
    .concat('\n');
  for (let times = 0; times < 8; times += 1) source.write(megabyte);
  await reopened.promise;
});

test('the last line without line break counts when the log ends', async () => {
  const source = fakeSource('a\nb', true);
  let ended = false;
  const store = new LogStore(source, events({ onEnd: () => (ended = true) }));
  await store.open();
  source.listener?.onBytes(0, new TextEncoder().encode('a\nb'));
  source.listener?.onEnd();
  assert.ok(ended);
  assert.deepEqual([store.live, store.lines, store.held(0)?.map(({ text }) => text)], [false, 2, ['a', 'b']]);
});

test('a line of many megabytes is skipped, not read', async () => {
  const source = fakeSource(`before\n${'x'.repeat(20_000_000)}\nafter\n`);
  const store = new LogStore(source, events());
  await store.open();
  const lines = await store.block(0);
  assert.deepEqual(
    lines.map(({ text }) => text.slice(0, 6)),
    ['before', 'xxxxxx', 'after'],
  );
  assert.ok((lines[1]?.cut ?? 0) > 19_000_000);
  assert.ok(source.reads < 12, `${source.reads} reads`);
});

test('a scan finds a line anywhere without colours in its way, and gives up at its limit', async () => {
  const source = fakeSource(`${numbered(50_000)}\u001b[31mer\u001b[0mror: here\n${numbered(10)}`);
  const options = { from: 10, limitBytes: 10_000_000, signal: new AbortController().signal };
  assert.equal(await scanLog(source, looksLikeError, options), 50_000);
  assert.equal(await scanLog(source, looksLikeError, { ...options, limitBytes: 1000 }), undefined);
  assert.equal(await scanLog(source, looksLikeError, { ...options, from: 50_001 }), undefined);
});

for (const line of [
  'error TS2304: Cannot find name',
  'src/a.c:3:1: fatal error: x.h',
  '--- FAIL: TestX (0.00s)',
  'not ok 3 - works',
  'panic: runtime error',
  'AssertionError [ERR_ASSERTION]: no',
  'Traceback (most recent call last):',
  '✖ fails',
  'FAIL src/a.test.js',
]) {
  test(`"${line}" looks like an error`, () => assert.ok(looksLikeError(line)));
}

for (const line of ['0 errors', 'no errors found', 'compiled error-handling.ts', 'terrors', 'ok 3 - throws an-error-code']) {
  test(`"${line}" does not look like an error`, () => assert.ok(!looksLikeError(line)));
}
