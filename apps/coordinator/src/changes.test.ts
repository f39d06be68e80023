import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '@croft/protocol/api';
import { systemClock } from '@croft/runtime/clock';
import { createChanges } from './changes.ts';

const signal = systemClock.deadline(10_000);

/** What a reader gets who was away while all of this was told. */
async function seenAfter(told: readonly Change[]): Promise<Change[]> {
  const changes = createChanges();
  const reading = changes.follow({ signal })[Symbol.asyncIterator]();
  const seen: Change[] = [];
  let next = reading.next();
  await Promise.resolve();
  for (const change of [...told, { kind: 'farm' } as const]) changes.tell(change);
  for (;;) {
    const { value } = await next;
    if (value.kind === 'farm') break;
    seen.push(value);
    next = reading.next();
  }
  await reading.return?.();
  return seen;
}

test('the same change told again and again is seen once, different ones each', async () => {
  const build = { kind: 'build', id: 'B0123456789abcdef' } as const;
  const commits = ['app', 'lib'].map((repo): Change => ({ kind: 'commits', repo }));
  assert.deepEqual(await seenAfter([build, ...commits, build, ...commits]), [build, ...commits]);
});

test('a reader who is too slow misses the oldest changes and not the newest', async () => {
  const builds = Array.from({ length: 1_000 }, (_, n): Change => ({ kind: 'build', id: `B${String(n).padStart(16, '0')}` }));
  const seen = await seenAfter(builds);
  assert.deepEqual(seen, builds.slice(-seen.length));
  assert.ok(seen.length > 100 && seen.length < 500, `${seen.length}`);
});

test('an abort ends the reading with its reason', async () => {
  const stop = new AbortController();
  const next = createChanges().follow({ signal: stop.signal })[Symbol.asyncIterator]().next();
  stop.abort(new Error('gone'));
  await assert.rejects(Promise.resolve(next), /gone/);
});
