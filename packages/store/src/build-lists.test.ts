import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, type Revision } from '@croft/domain/names';
import { silentLog } from '@croft/runtime/log';
import { medianDurationMs } from './attempts.ts';
import {
  buildsOfCommits,
  countByState,
  countQueuedBefore,
  countQueuedByBand,
  listBuilds,
  queuedBuilds,
  runningBuilds,
} from './build-lists.ts';
import { openDatabase, type Sql } from './database.ts';
import { buildersWithLogs } from './logs.ts';
import { freshFile } from './testing.ts';

const repo = parseRepoName('croft');
const builder = parseBuilderName('unit');
const revision = '0'.repeat(40) as Revision;

/** What SQLite does for each statement of `work`. With a million builds, only these ways are fast. */
async function plansOf(work: (sql: Sql) => Promise<unknown>): Promise<string> {
  await using place = freshFile();
  await using database = await openDatabase({ url: place.url, durability: 'kill', log: silentLog });
  const plans: string[] = [];
  await database.write(async (sql) => {
    const explain = async (text: string, params: Parameters<Sql['all']>[1]): Promise<void> => {
      const rows = await sql.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, params);
      plans.push(...rows.map(({ detail }) => detail));
    };
    await sql.run(`INSERT INTO builds (id, seq, builder, repo, revision, revisions, trigger_kind, trigger_ref, band, needs, needs_key, created_at, state, since, attempts)
      VALUES ('B1', 1, 'unit', 'croft', 'r', '[]', 'branch', 'main', 0, '{}', 'linux', 0, 'queued', 0, 0)`);
    await work({
      ...sql,
      all: async <Row>(text: string, params?: Parameters<Sql['all']>[1]) => (await explain(text, params), await sql.all<Row>(text, params)),
      get: async <Row>(text: string, params?: Parameters<Sql['get']>[1]) => (await explain(text, params), await sql.get<Row>(text, params)),
    });
  });
  return plans.join('\n');
}

const ways: Record<string, { work: (sql: Sql) => Promise<unknown>; index: string }> = {
  'the head of the queue': { work: (sql) => queuedBuilds(sql, { limit: 10 }), index: 'builds_queue' },
  'the head of the queue of some builders': { work: (sql) => queuedBuilds(sql, { limit: 10, builders: [builder] }), index: 'builds_queue' },
  'the place in the queue': {
    work: (sql) => countQueuedBefore(sql, { needsKey: 'linux', band: 'release', seq: 9 }),
    index: 'builds_queue',
  },
  'the counts by band': { work: countQueuedByBand, index: 'builds_queue' },
  'the counts': { work: countByState, index: 'builds_state' },
  'the running builds': { work: runningBuilds, index: 'builds_state' },
  'the running builds of a builder': {
    work: (sql) => listBuilds(sql, { state: 'running', repo, builder, limit: 9 }),
    index: 'builds_state',
  },
  'the ended builds': { work: (sql) => listBuilds(sql, { state: 'ended', limit: 9, before: 7 }), index: 'builds_state' },
  'the builds of a builder': {
    work: (sql) => listBuilds(sql, { state: 'ended', repo, builder, limit: 9, before: 7 }),
    index: 'builds_builder',
  },
  'the builds of a repository': { work: (sql) => listBuilds(sql, { repo, limit: 9 }), index: 'builds_repo' },
  'the builds of a commit': {
    work: (sql) => listBuilds(sql, { state: 'ended', repo, builder, revision, limit: 9 }),
    index: 'builds_revision',
  },
  'the cells of a grid': { work: (sql) => buildsOfCommits(sql, repo, [revision, revision]), index: 'builds_revision' },
  'the newest builds': { work: (sql) => listBuilds(sql, { limit: 9 }), index: 'sqlite_autoindex_builds_2' },
  'the median duration': { work: (sql) => medianDurationMs(sql, builder), index: 'attempts_duration' },
  'the builders with logs': { work: buildersWithLogs, index: 'attempts_log' },
};

for (const [name, { work, index }] of Object.entries(ways)) {
  test(`${name} come from the index ${index}, without looking at every build`, async () => {
    const plans = await plansOf(work);
    assert.match(plans, new RegExp(`USING (COVERING )?INDEX ${index}\\b`));
    assert.doesNotMatch(plans, /SCAN (builds|attempts)(?! USING)/);
    const others = [...plans.matchAll(/INDEX (\w+)/g)].map((match) => match[1]).filter((used) => used !== index);
    assert.deepEqual(others, []);
  });
}
