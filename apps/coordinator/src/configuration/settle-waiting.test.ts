import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import { readConfig } from '@croft/config/read-config';
import { buildId, type Band } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, parseRevision, type BuildId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { getBuild, insertBuild, type NewBuild } from '@croft/store/builds';
import { openDatabase } from '@croft/store/database';
import { settleWaiting, whyUnwanted } from './settle-waiting.ts';

const base = {
  dataDir: '/srv/farm',
  repos: [
    { name: 'app', url: '/srv/app', branches: ['main', 'release/*'] },
    { name: 'lib', url: '/srv/lib' },
  ],
  builders: [{ name: 'unit', repo: 'app', branches: '!release/old' }],
  policies: [{ allow: false, branches: 'release/3', why: 'it is frozen' }],
} as const satisfies ConfigInput;

const builder = parseBuilderName('unit');
const repo = parseRepoName('app');

function newBuild(n: number, differs: Partial<NewBuild> = {}): NewBuild {
  const key = {
    builder,
    revisions: [{ repo, revision: parseRevision(String(n).padStart(40, '0')) }],
    trigger: { kind: 'branch', ref: 'main' },
  } as const;
  return { ...key, id: buildId({ ...key, ...differs }), band: 'post-submit', needs: { labels: [] }, createdAt: 1, ...differs };
}

test('a build is wanted while its builder, repository, branch and the policies want it', () => {
  const config = readConfig(base);
  const why = (differs: { builder?: string; repo?: string; branch?: string; kind?: 'branch' | 'asked' } = {}): string | undefined =>
    whyUnwanted(
      {
        builder: parseBuilderName(differs.builder ?? 'unit'),
        repo: parseRepoName(differs.repo ?? 'app'),
        trigger: { kind: differs.kind ?? 'branch', ref: differs.branch ?? 'main' },
      },
      config,
    );
  assert.equal(why(), undefined);
  assert.equal(why({ builder: 'gone' }), 'builder gone is not configured any more');
  assert.equal(why({ repo: 'gone' }), 'repository gone is not configured any more');
  assert.equal(why({ repo: 'lib' }), 'builder unit does not build lib any more');
  assert.equal(why({ branch: 'feature' }), 'branch feature is not built any more');
  assert.equal(why({ branch: 'release/old' }), 'branch release/old is not built any more');
  assert.equal(why({ branch: 'release/3' }), 'policies.0 denies it: it is frozen');
  assert.equal(why({ branch: 'release/3', kind: 'asked' }), undefined);
});

test('what waits ends or moves as the configuration says, comes back when it is wanted again, and what has run stays', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-settle-'));
  try {
    await using db = await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog });
    const moved: BuildId[] = [];
    const settle = (differs: Partial<ConfigInput>): Promise<number> =>
      settleWaiting(readConfig({ ...base, ...differs }), { db, clock: systemClock, onMove: (id) => void moved.push(id) }, {});
    const tip = newBuild(1);
    const older = newBuild(2, { band: 'back-fill' });
    const gone = Array.from({ length: 450 }, (_, n) => newBuild(n, { builder: parseBuilderName('gone') }));
    const insertAll = (): Promise<boolean[]> =>
      db.write(async (sql) => {
        const inserted: boolean[] = [];
        for (const build of [tip, older, ...gone]) inserted.push(await insertBuild(sql, build));
        return inserted;
      });
    await insertAll();
    assert.equal(await settle({}), 450);
    assert.equal(new Set(moved).size, 450);
    const stateOf = (id: BuildId): Promise<unknown> => db.read(async (sql) => (await getBuild(sql, id))?.state);
    assert.partialDeepStrictEqual(await stateOf(gone[0]?.id as BuildId), {
      kind: 'ended',
      end: { kind: 'skipped', why: 'builder gone is not configured any more' },
    });
    assert.deepEqual([...new Set((await insertAll()).slice(2))], [true], 'wanted again, they queue again');
    assert.equal(((await stateOf(gone[0]?.id as BuildId)) as { kind: string }).kind, 'queued');

    const placeOf = async ({ id }: NewBuild): Promise<{ band: Band | undefined; labels: readonly string[] | undefined }> => {
      const build = await db.read((sql) => getBuild(sql, id));
      return { band: build?.band, labels: build?.needs.labels };
    };
    const needs = { labels: ['big'] };
    await settle({ builders: [{ ...base.builders[0], priority: 'release', needs }] });
    assert.deepEqual(
      [await placeOf(tip), await placeOf(older)],
      [
        { band: 'release', ...needs },
        { band: 'back-fill', ...needs },
      ],
    );
    await settle({ builders: [{ ...base.builders[0], priority: 'benchmark' }] });
    assert.deepEqual([(await placeOf(tip)).band, (await placeOf(older)).band], ['benchmark', 'benchmark']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
