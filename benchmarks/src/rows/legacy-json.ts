/** A million stored results: the originals' page as JSON from a running coordinator, and what retention asks the store. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseBuilderName, parseRepoName, parseRevision, type BuilderName, type Revision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { recordBranch } from '@croft/store/commits';
import { openDatabase, type Database } from '@croft/store/database';
import { buildersWithLogs, expiredLogs } from '@croft/store/logs';
import { recordFetch, upsertRepo } from '@croft/store/repos';
import { startFarm } from '../farm-process.ts';
import type { Bench, Measurement, Row } from '../row.ts';

const commits = 2_000;
const builders = 500;
const rounds = 25;
const warmUps = 3;
const pageGoalMs = 50;
const sweepGoalMs = 50;
const repo = parseRepoName('go');

export const legacyJson: Row = {
  name: 'legacy-json',
  about: `/?mode=json of 30 commits × ${builders} builders, and retention, with ${(commits * builders).toLocaleString('en')} results stored`,
  run,
};

async function run(bench: Bench): Promise<Measurement[]> {
  const dataDir = join(bench.dir, 'farm');
  const path = join(dataDir, 'croft.db');
  await mkdir(dataDir, { recursive: true });
  await fill(path, bench);
  const sweeps = await measureRetention(path, bench);
  const config = {
    repos: [{ name: repo, url: join(bench.dir, 'not-there'), pollMs: 'never' }],
    builders: Array.from({ length: builders }, (_, n) => ({ name: builderName(n), repo, steps: 'detect' as const })),
    pools: [],
  };
  await using farm = await startFarm({ config, buildlets: 0 }, bench);
  const pages = await measurePage(`${farm.url}/?mode=json`, path, bench);
  return [...pages, ...sweeps];
}

function builderName(n: number): BuilderName {
  return parseBuilderName(`builder-${String(n).padStart(3, '0')}`);
}

function revisionOf(n: number): Revision {
  return parseRevision(n.toString(16).padStart(8, '0').repeat(5));
}

async function fill(path: string, { signal, progress }: Bench): Promise<void> {
  progress('storing results');
  await using database = await open(path);
  const subject = 'a change like many others';
  const listed = Array.from({ length: commits }, (_, n) => {
    const committedAt = 1_700_000_000_000 + n * 60_000;
    return { revision: revisionOf(n), parents: [], authorName: 'Ann', authorEmail: 'ann@farm.example', committedAt, subject };
  });
  await database.write(async (sql) => {
    await upsertRepo(sql, { name: repo, url: '/not-there' });
    await recordFetch(sql, repo, { at: 1, heads: { main: revisionOf(commits - 1) }, defaultBranch: 'main' });
    await recordBranch(sql, repo, { branch: 'main', position: commits, commits: listed.toReversed() });
  });
  signal.throwIfAborted();
  fillRows(path);
}

/** Straight into the tables: the store’s own way is for one build at a time. Every eighth result is a failure. */
function fillRows(path: string): void {
  using plain = new DatabaseSync(path);
  plain.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; PRAGMA wal_autocheckpoint = 100000');
  const numbers = (name: string, count: number): string =>
    `${name}(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM ${name} WHERE n < ${count - 1})`;
  const source = `WITH RECURSIVE ${numbers('c', commits)}, ${numbers('b', builders)},
    cells AS (SELECT c.n * ${builders} + b.n AS k, c.n AS c, b.n AS b,
      CASE WHEN (c.n + b.n) % 8 = 0 THEN 'failed' ELSE 'passed' END AS end_kind FROM c, b),
    rows AS (SELECT k, end_kind, printf('B%016x', k) AS id, printf('builder-%03d', b) AS builder,
      replace(printf('%s%s%s%s%s', h, h, h, h, h), ' ', '') AS revision, printf('%040x', k) AS sha1, 1700000000000 + k AS at
      FROM (SELECT cells.*, printf('%08x', c) AS h FROM cells))`;
  plain.exec(`BEGIN; INSERT INTO builds (id, seq, builder, repo, revision, revisions, trigger_kind, trigger_ref, band, needs, needs_key,
      created_at, state, since, attempts, end_kind, end_json, log_sha1)
    ${source} SELECT id, k + 1, builder, '${repo}', revision, '[{"repo":"${repo}","revision":"' || revision || '"}]', 'branch', 'main', 3,
      '{"labels":[]}', '', at, 'ended', at, 1, end_kind, '{"kind":"' || end_kind || '","step":"test","text":"exit status 1"}', sha1 FROM rows;
    INSERT INTO attempts (build, number, builder, state, started_at, ended_at, end_kind, machine, lease, epoch, log_state, log_bytes,
      log_lines, log_sha1)
    ${source} SELECT id, 1, builder, 'ended', at, at + 1000, end_kind, 'm', 'L', 1, 'complete', 10000, 100, sha1 FROM rows;
    UPDATE counters SET value = ${commits * builders} WHERE name = 'builds'; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`);
}

function open(path: string): Promise<Database> {
  return openDatabase({ url: `sqlite:${path}`, durability: 'kill', log: silentLog });
}

async function measurePage(url: string, path: string, bench: Bench): Promise<Measurement[]> {
  bench.progress('asking for pages');
  const body = await page(url, bench.signal);
  const { revisions } = JSON.parse(body) as { revisions: { results: string[] }[] };
  if (revisions.length !== 30 || revisions.some(({ results }) => results.length !== builders || results.includes('')))
    throw new CroftError('internal', `the page is not as wide as it should be: ${body.slice(0, 500)}`);
  await using bare = await serveBytes(body);
  using plain = openPlain(path);
  const samples = { page: [] as number[], bytes: [] as number[], statement: [] as number[] };
  for (let round = -warmUps; round < rounds; round += 1) {
    const times = [await timed(bench, () => page(url, bench.signal)), await timed(bench, () => page(bare.url, bench.signal))] as const;
    const statement = await timed(bench, async () => plain.read());
    if (round < 0) continue;
    samples.page.push(times[0]);
    samples.bytes.push(times[1]);
    samples.statement.push(statement);
  }
  const what = `/?mode=json, ${(body.length / 1e6).toFixed(1)} MB`;
  return [
    {
      what,
      unit: 'ms',
      samples: samples.page,
      goal: pageGoalMs,
      peer: { what: 'the same bytes, bare Node server', samples: samples.bytes },
    },
    { what, unit: 'ms', samples: samples.page, peer: { what: 'the same rows, one prepared statement', samples: samples.statement } },
  ];
}

async function page(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal });
  const text = await response.text();
  if (!response.ok) throw new CroftError('unavailable', `${url} was answered with ${response.status}: ${text.slice(0, 300)}`);
  return text;
}

async function timed({ clock, signal }: Bench, work: () => Promise<unknown>): Promise<number> {
  signal.throwIfAborted();
  const startedAt = clock.monotonic();
  await work();
  return clock.monotonic() - startedAt;
}

async function serveBytes(body: string): Promise<AsyncDisposable & { readonly url: string }> {
  const bytes = Buffer.from(body);
  const server = createServer((_, response) => response.end(bytes)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The rows of the page, as SQLite gives them to whoever asks for no more than that. */
function openPlain(path: string): Disposable & { read(): unknown } {
  const database = new DatabaseSync(path, { readOnly: true });
  const select = database.prepare(
    `SELECT revision, builder, end_kind, log_sha1 FROM builds WHERE repo = ? AND trigger_kind = 'branch' AND end_kind IS NOT NULL
      AND revision IN (${Array.from({ length: 30 }, () => '?').join(', ')})`,
  );
  const revisions = Array.from({ length: 30 }, (_, n) => revisionOf(commits - 1 - n));
  return { read: () => select.all(repo, ...revisions), [Symbol.dispose]: () => database.close() };
}

/** Nothing has to go, as on most sweeps; and a hundred logs of a builder that has too many. */
async function measureRetention(path: string, bench: Bench): Promise<Measurement[]> {
  bench.progress('asking what retention lets go');
  await using database = await open(path);
  const names = await database.read(buildersWithLogs);
  if (names.length !== builders) throw new CroftError('internal', `${names.length} builders have logs`);
  const sample = { names: [] as number[], all: [] as number[], one: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    const expired = (name: BuilderName, maxBytes: number): Promise<number> =>
      timed(bench, () => database.read((sql) => expiredLogs(sql, name, { endedBefore: 0, maxBytes, limit: 100 })));
    sample.names.push(await timed(bench, () => database.read(buildersWithLogs)));
    sample.all.push(await expired(builderName(round), 1e12));
    sample.one.push(await expired(builderName(round + 100), 1_000_000));
  }
  return [
    { what: 'builders that have logs', unit: 'ms', samples: sample.names, goal: sweepGoalMs },
    { what: `a builder’s ${commits} logs, none to let go`, unit: 'ms', samples: sample.all, goal: sweepGoalMs },
    { what: `a builder’s ${commits} logs, 100 of them too many`, unit: 'ms', samples: sample.one, goal: sweepGoalMs },
  ];
}
