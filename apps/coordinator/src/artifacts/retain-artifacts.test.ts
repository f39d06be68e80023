import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDirectoryBlobs } from '@croft/blobs/directory';
import type { BlobStore } from '@croft/blobs/blobs';
import { parseBuilderName, type BuildId } from '@croft/domain/names';
import { DAY, HOUR } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { artifactsOf, insertArtifact } from '@croft/store/artifacts';
import { openDatabase, type Database } from '@croft/store/database';
import { retainArtifacts, type RetainDeps } from './retain-artifacts.ts';

const builder = parseBuilderName('unit');
const build = 'B0123456789abcdef' as BuildId;

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly deps: RetainDeps;
  /** Keeps one file as an artifact of its own; its hash. */
  keep(name: string, text: string, keepMs: number): Promise<string>;
  states(): Promise<string[]>;
}

async function openStage(artifactBytes: number): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-retain-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const clock = new FakeClock();
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const blobs = await openDirectoryBlobs(join(dir, 'blobs'), { lowWaterBytes: 0, clock, random: systemRandom });
  const builders = () => [{ name: builder, retention: { logAgeMs: DAY, logBytes: 1e9, artifactBytes } }];
  const owned = stack.move();
  return {
    clock,
    db,
    blobs,
    deps: { db, blobs, builders, clock, log: silentLog },
    async keep(name, text, keepMs) {
      const { sha256, bytes } = await blobs.put(pieces(text), { maxBytes: 1e6 });
      const state = { kind: 'kept', files: 1, bytes, keepUntil: clock.now() + keepMs } as const;
      const files = [{ path: 'file', sha256, bytes, mode: 0o644 }];
      await db.write((sql) => insertArtifact(sql, { build, number: 1, builder, name, state, storedAt: clock.now(), files }));
      return sha256;
    },
    states: async () => (await db.read((sql) => artifactsOf(sql, build))).map(({ name, state }) => `${name} ${state.kind}`),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function* pieces(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

test('what is too old goes with its bytes, unless another artifact has the same', async () => {
  await using stage = await openStage(1e9);
  const alone = await stage.keep('alone', 'alone', 10 * DAY);
  const shared = await stage.keep('short', 'shared', 10 * DAY);
  await stage.keep('long', 'shared', 50 * DAY);
  assert.equal(await retainArtifacts(stage.deps, {}), 0);
  await stage.clock.advance(11 * DAY);
  assert.equal(await retainArtifacts(stage.deps, {}), 2);
  assert.deepEqual(await stage.states(), ['alone expired', 'long kept', 'short expired']);
  assert.equal(await stage.blobs.find(alone), undefined);
  assert.ok(await stage.blobs.find(shared));
});

test('the oldest go when a builder has too many bytes', async () => {
  await using stage = await openStage(25);
  for (const name of ['a', 'b', 'c']) {
    await stage.keep(name, `${name}123456789`, 50 * DAY);
    await stage.clock.advance(HOUR);
  }
  assert.equal(await retainArtifacts(stage.deps, {}), 1);
  assert.deepEqual(await stage.states(), ['a expired', 'b kept', 'c kept']);
});

test('what was put and not noted yet stays for a day', async () => {
  await using stage = await openStage(1e9);
  const { sha256 } = await stage.blobs.put(pieces('about to be noted'), { maxBytes: 1e6 });
  await stage.clock.advance(23 * HOUR);
  await retainArtifacts(stage.deps, {});
  assert.ok(await stage.blobs.find(sha256));
  await stage.clock.advance(2 * HOUR);
  await retainArtifacts(stage.deps, {});
  assert.equal(await stage.blobs.find(sha256), undefined);
});
