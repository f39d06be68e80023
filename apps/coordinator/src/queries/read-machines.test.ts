import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseBuilderName,
  parseBuildId,
  parseMachineId,
  parseRepoName,
  parseRevision,
  type LeaseId,
  type MachineId,
} from '@croft/domain/names';
import { silentLog } from '@croft/runtime/log';
import { insertBuild } from '@croft/store/builds';
import { openDatabase, type Database } from '@croft/store/database';
import { insertLease } from '@croft/store/leases';
import { upsertMachine } from '@croft/store/machines';
import { freshFile } from '@croft/store/testing';
import type { MachineList } from '@croft/protocol/api';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { machineKinds, readMachines, type MachineFilter } from './read-machines.ts';

interface Stage extends AsyncDisposable {
  readonly db: Database;
  readonly watched: WatchedMachine[];
  read(filter: Partial<MachineFilter>): Promise<MachineList>;
}

/** `rack-1` to `rack-N`, every third of which does not answer, and one that no pool has any more. */
async function openStage(machines: number): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const db = stack.use(await openDatabase({ url: stack.use(freshFile()).url, durability: 'kill', log: silentLog }));
  const about = { pool: 'lab', hostType: 'host-linux-arm64', labels: ['linux', 'arm64'], address: undefined, at: 1 };
  const ids = Array.from({ length: machines }, (_, at) => parseMachineId(`rack-${at + 1}`));
  const watched = ids.map((id, at): WatchedMachine => {
    return {
      pool: 'lab',
      seenAt: 1,
      observed: { id, hostType: 'host-linux-arm64', labels: about.labels, state: at % 3 === 2 ? 'silent' : 'up' },
    };
  });
  await db.write(async (sql) => {
    for (const id of ids.toReversed()) await upsertMachine(sql, { ...about, id });
    await upsertMachine(sql, { ...about, id: parseMachineId('old-mac'), pool: 'attic', hostType: 'host-darwin', labels: ['darwin'] });
  });
  const owned = stack.move();
  const read: Stage['read'] = (filter) => db.read((sql) => readMachines(sql, watched, { limit: 100, ...filter }));
  return { db, watched, read, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const namesOf = ({ machines }: MachineList): string[] => machines.map(({ id }) => id);

test('page after page shows each machine once, by name, with numbers as numbers', async () => {
  await using stage = await openStage(25);
  const seen: string[] = [];
  let pages = 0;
  for (let after: string | undefined, more = true; more; pages += 1) {
    const page = await stage.read({ limit: 10, after });
    assert.deepEqual([page.found, page.counts], [26, { ready: 17, busy: 0, away: 9 }]);
    seen.push(...namesOf(page));
    after = page.next;
    more = after !== undefined;
  }
  assert.equal(pages, 3);
  assert.deepEqual(seen, ['old-mac', ...Array.from({ length: 25 }, (_, at) => `rack-${at + 1}`)]);
  assert.deepEqual(namesOf(await stage.read({ limit: 10, skip: 20 })), seen.slice(20));
  assert.deepEqual(
    namesOf(await stage.read({ limit: 2, after: 'rack-3x' })),
    ['rack-4', 'rack-5'],
    'one that is gone by now still has its place',
  );
  assert.deepEqual(namesOf(await stage.read({ after: 'zzz' })), []);
});

test('machines are found by words and by state, those that no pool has, too', async () => {
  await using stage = await openStage(9);
  assert.deepEqual(namesOf(await stage.read({ find: 'RACK arm64 7' })), ['rack-7']);
  assert.deepEqual(namesOf(await stage.read({ find: 'attic darwin' })), ['old-mac']);
  assert.deepEqual(namesOf(await stage.read({ find: 'lab', state: 'away' })), ['rack-3', 'rack-6', 'rack-9']);
  const nothing = await stage.read({ find: '% _' });
  assert.deepEqual([nothing.found, nothing.machines, nothing.counts.ready], [0, [], 6]);
});

test('a busy machine tells of which builder, repository and commit its build is, and kinds of machines are counted', async () => {
  await using stage = await openStage(4);
  const build = { id: parseBuildId('B0000000000000001'), builder: parseBuilderName('linux') };
  const revisions = [{ repo: parseRepoName('app'), revision: parseRevision('a'.repeat(40)) }];
  await stage.db.write(async (sql) => {
    await insertBuild(sql, {
      ...build,
      revisions,
      trigger: { kind: 'branch', ref: 'main' },
      band: 'release',
      needs: { labels: [] },
      createdAt: 1,
    });
    const holder = { kind: 'attempt', id: `${build.id}.1` } as const;
    await insertLease(sql, { id: 'L0000000000000001' as LeaseId, machine: 'rack-2' as MachineId, holder, at: 1 });
  });
  const [busy] = (await stage.read({ state: 'busy' })).machines;
  const { lease } = busy ?? assert.fail();
  assert.deepEqual([lease?.build, lease?.builder, lease?.repo, lease?.revision], [build.id, 'linux', 'app', 'a'.repeat(40)]);
  const kinds = await stage.db.read((sql) => machineKinds(sql, stage.watched));
  assert.deepEqual(kinds, [{ labels: ['linux', 'arm64'], all: 4, free: 2 }]);
});
