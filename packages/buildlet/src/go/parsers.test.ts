/** What comes from a machine is read the same however it is cut, and does no harm whatever it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { listEntries, parseEntry, type DirEntry } from './list-entries.ts';
import { parseProcessState } from './process-state.ts';
import { goFileMode, goForm } from './wire-text.ts';

const vectors: [line: string, expected: Partial<DirEntry>][] = [
  ['dtrwxrwxrwx\tpkg/', { perm: 'dtrwxrwxrwx', name: 'pkg/', isDir: true }],
  ['drwxr-xr-x\tsp ace/', { name: 'sp ace/', isDir: true }],
  [
    '-rw-------\tsrc/a/empty\t0\t1999-12-31T23:59:59Z\tda39a3ee5e6b4b0d3255bfef95601890afd80709',
    { name: 'src/a/empty', sizeBytes: 0, mtimeAt: 946_684_799_000, digest: 'da39a3ee5e6b4b0d3255bfef95601890afd80709' },
  ],
  ['prw-r--r--\tsrc/fifo', { name: 'src/fifo', isDir: false }],
  ['Lrwxrwxrwx\tsrc/lnk', { name: 'src/lnk' }],
  ['Lrwxrwxrwx\t', { name: '' }],
  ['urwxr-xr-x\tsuid\t35664\t2020-01-01T00:00:00Z', { name: 'suid', sizeBytes: 35_664, mtimeAt: 1_577_836_800_000 }],
  ['-rw-r--r--\ta\tb\t5\t2020-01-01T00:00:00Z', { name: 'a\tb', sizeBytes: 5 }],
];

test('lines as Go’s buildlet makes them (1.5)', () => {
  for (const [line, expected] of vectors) {
    const entry = parseEntry(line);
    for (const [key, value] of Object.entries(expected)) assert.equal(entry[key as keyof DirEntry], value, `${key} of ${line}`);
    assert.equal(entry.line, line);
  }
});

async function* cut(bytes: Buffer, at: readonly number[]): AsyncGenerator<Buffer> {
  const shared = Buffer.alloc(bytes.length); // one buffer for all pieces, as the connection has it
  let from = 0;
  for (const to of [...at, bytes.length].map((n) => n % (bytes.length + 1)).toSorted((a, b) => a - b)) {
    bytes.copy(shared, 0, from, to);
    yield shared.subarray(0, to - from);
    shared.fill(0);
    from = to;
  }
}

test('a listing is the same wherever it was cut into pieces', async () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\t\n]/.test(text) && text.isWellFormed());
  await fc.assert(
    fc.asyncProperty(fc.array(name, { maxLength: 20 }), fc.array(fc.nat(2_000), { maxLength: 10 }), async (names, at) => {
      const bytes = Buffer.from(names.map((text) => `-rw-r--r--\t${text}\t5\t2020-01-01T00:00:00Z\n`).join(''));
      const entries = await Array.fromAsync(listEntries(cut(bytes, at)));
      assert.deepEqual(
        entries.map((entry) => entry.name),
        names,
      );
    }),
  );
});

test('any bytes make entries or a failure that is told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), fc.array(fc.nat(500), { maxLength: 5 }), async (bytes, at) => {
      try {
        for await (const entry of listEntries(cut(Buffer.from(bytes), at))) assert.equal(typeof entry.name, 'string');
      } catch (error) {
        assert.ok(isCode(error, 'unavailable'));
      }
    }),
  );
});

test('a line of 1 MiB is read, a longer one is not, and the last one must have its end', async () => {
  const longest = `Lrwxrwxrwx\t${'x'.repeat(1024 * 1024 - 11)}`;
  const [entry] = await Array.fromAsync(listEntries(cut(Buffer.from(`${longest}\n`), [70_000, 500_000])));
  assert.equal(entry?.line.length, 1024 * 1024);
  for (const text of [`${longest}x\n`, `${longest}x`])
    await assert.rejects(Array.fromAsync(listEntries(cut(Buffer.from(text), [1_000]))), (error) => isCode(error, 'exhausted'));
  await assert.rejects(Array.fromAsync(listEntries(cut(Buffer.from('-rw'), []))), (error) => isCode(error, 'unavailable'));
});

test('trailers are exits, signals or reasons (1.10)', () => {
  assert.deepEqual(parseProcessState('ok'), { kind: 'exited', code: 0 });
  assert.deepEqual(parseProcessState('exit status 7'), { kind: 'exited', code: 7 });
  assert.deepEqual(parseProcessState('exit status 0xc0000005'), { kind: 'exited', code: 0xc0000005 });
  assert.deepEqual(parseProcessState('signal: killed'), { kind: 'signalled', signal: 'SIGKILL' });
  assert.deepEqual(parseProcessState('signal: aborted (core dumped)'), { kind: 'signalled', signal: 'SIGABRT' });
  assert.deepEqual(parseProcessState('signal: signal 31'), { kind: 'signalled', signal: 'SIGSYS' });
  const reason = 'fork/exec /workdir/x: no such file or directory';
  assert.deepEqual(parseProcessState(reason), { kind: 'not-started', reason });
  fc.assert(fc.property(fc.string(), (text) => ['exited', 'signalled', 'not-started'].includes(parseProcessState(text).kind)));
});

test('forms hold what was put into them, keys sorted, and only what Go leaves as it is', () => {
  const pairs = fc.dictionary(fc.string({ minLength: 1 }), fc.array(fc.string(), { minLength: 1, maxLength: 3 }));
  fc.assert(
    fc.property(pairs, (given) => {
      const text = goForm(given);
      assert.match(text, /^[A-Za-z0-9_.~%+=&-]*$/);
      const read = new URLSearchParams(text);
      for (const [key, values] of Object.entries(given))
        assert.deepEqual(
          read.getAll(key.toWellFormed()),
          values.map((value) => value.toWellFormed()),
        );
    }),
  );
  assert.equal(
    goForm({ path: ['$PATH', "a b*!'()"], cmd: 'x~y', none: undefined, empty: [] }),
    'cmd=x~y&path=%24PATH&path=a+b%2A%21%27%28%29',
  );
});

test('modes are Go’s (1.8)', () => {
  assert.deepEqual([0o644, 0o755, 0o4755, 0o2000, 0o1777].map(goFileMode), [420, 493, 8_389_101, 4_194_304, 1_049_087]);
});
