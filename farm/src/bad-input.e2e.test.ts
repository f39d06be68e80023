import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { ConfigInput } from '@croft/config/define-config';
import type { Farm } from '@croft/protocol/api';
import { systemClock } from '@croft/runtime/clock';
import { endedBuild, foundBuilds, getBuild, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { kernelGroupsOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { endOfFarm, startFarm, type TestFarm } from './testing.ts';

const builds = (farm: TestFarm): Promise<string> => fetch(`${farm.url}/api/v1/builds`).then((response) => response.text());
const pageOf = async (farm: TestFarm, path: string): Promise<string> => (await fetch(`${farm.url}${path}`)).text();

/** Repositories by name, each with one builder that finds its command in the tree. */
function configOf(repos: Readonly<Record<string, string>>): Partial<ConfigInput> {
  return {
    repos: Object.entries(repos).map(([name, url]) => ({ name, url, pollMs: 200 })),
    builders: Object.keys(repos).map((repo) => ({ name: `${repo}-ci`, repo })),
    pools: [{ kind: 'local' }],
  };
}

test('a port in use, a data directory in use, one that cannot be: each is refused with what to do, and who runs goes on', async () => {
  await using repo = await makeRepo('#!/bin/sh\n');
  await using farm = await startFarm({ repo: repo.dir });
  const { port } = new URL(farm.url);
  const taken = await endOfFarm({ repo: repo.dir, args: ['--port', port] });
  assert.equal(taken.exit, 1);
  assert.match(taken.output, new RegExp(`127\\.0\\.0\\.1:${port}`));
  assert.match(taken.output, /in use|another port/);
  const locked = await endOfFarm({ repo: repo.dir, dataDir: farm.dataDir });
  assert.equal(locked.exit, 3);
  assert.match(
    locked.output,
    new RegExp(`data directory ${farm.dataDir} is in use by process ${farm.pid}.*\n.*choose another data directory`),
  );
  const impossible = await endOfFarm({ repo: repo.dir, args: ['--data-dir', '/dev/null/data'] });
  assert.equal(impossible.exit, 2);
  assert.match(impossible.output, /\/dev\/null\/data/);
  assert.doesNotMatch(impossible.output, / at .*\.ts:\d+/, 'a sentence, not a stack');
  const { id } = await onlyBuild(farm);
  assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
});

test('a broken configuration is refused with every mistake in it at once', async () => {
  const steps = [{ name: 'source', argv: [] }];
  const bad = {
    port: 70_000,
    colour: 'red',
    repos: [{ name: '-x', url: 'ext::sh' }],
    builders: [{ name: 'a', repo: 'nowhere', steps, env: { META_password: 'x' } }],
  } as unknown as Partial<ConfigInput>;
  const { exit, output } = await endOfFarm({ config: bad });
  assert.equal(exit, 2);
  for (const mistake of [
    'port',
    'colour',
    'repos.0.name',
    'repos.0.url',
    'builders.0.steps.0.name',
    'builders.0.env.META_password',
    'nothing was started',
  ]) {
    assert.ok(output.includes(mistake), `${mistake} in ${output}`);
  }
});

test('a repository that is not there, is none, or is far away: told on the terminal and on the page, without its password', async () => {
  assert.match((await endOfFarm({ repo: '/nowhere/at-all' })).output, /there is nothing at \/nowhere\/at-all/);
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-plain-'));
  stack.defer(() => rm(dir, { recursive: true }));
  await using plain = await startFarm({ repo: dir });
  await plain.waitFor('the complaint', () => /cannot be read, and is tried again: .*\S/.test(plain.output()));
  assert.match(await pageOf(plain, '/farm'), /not a git repository|does not appear to be a git repository/);

  await using far = await startFarm({ repo: 'http://someone:hunter2@127.0.0.1:9/team/thing.git' });
  await far.waitFor('the complaint', () => /thing cannot be read/.test(far.output()));
  assert.match(await pageOf(far, '/farm'), /http:\/\/127\.0\.0\.1:9\/team\/thing\.git/);
  await far.stop('SIGINT');
  for (const file of readdirSync(far.dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())) {
    assert.ok(!readFileSync(join(file.parentPath, file.name)).includes('hunter2'), `${file.name} holds the password`);
  }
  assert.doesNotMatch(far.output(), /hunter2/);
});

test('a repository that vanishes while the farm runs is told and retried; the others go on', async () => {
  await using gone = await makeRepo('#!/bin/sh\n');
  await using kept = await makeRepo('#!/bin/sh\n');
  await using farm = await startFarm({ config: configOf({ gone: gone.dir, kept: kept.dir }) });
  await foundBuilds(farm, 2);
  await rename(gone.dir, `${gone.dir}.away`);
  const stateOf = async (name: string): Promise<Farm['repos'][number] | undefined> =>
    (await farm.api<Farm>('GET', '/api/v1/farm')).repos.find((repo) => repo.name === name);
  const error = await farm.waitFor('the error', async () => (await stateOf('gone'))?.error);
  assert.ok(error.includes(gone.dir), error);
  assert.ok((await pageOf(farm, '/?repo=gone')).includes('The last look for commits'));
  await assert.rejects(farm.api('POST', '/api/v1/repos/gone/notify'), /refused with (4|5)\d\d/);
  assert.equal((await stateOf('kept'))?.error, undefined);
  const revision = await kept.commit({ a: '1\n' });
  const next = await farm.waitFor('the next build', async () => (await listBuilds(farm)).find((build) => build.revision === revision));
  assert.deepEqual((await endedBuild(farm, next.id)).end, { kind: 'passed' });
  await rename(`${gone.dir}.away`, gone.dir);
  await farm.waitFor('it read again', async () => (await stateOf('gone'))?.error === undefined);
});

test('a newer schema is refused and left as it is; the program that knows it goes on', async () => {
  await using repo = await makeRepo('#!/bin/sh\n');
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  await endedBuild(farm, id);
  await farm.stop('SIGINT');
  const alter = (sql: string): void => {
    using database = new DatabaseSync(join(farm.dataDir, 'croft.db'));
    database.exec(sql);
  };
  alter(`INSERT INTO schema_versions (version, title, applied_at) VALUES (999, 'from the future', 0)`);
  const { exit, output } = await endOfFarm({ repo: repo.dir, dataDir: farm.dataDir });
  assert.equal(exit, 3);
  assert.match(output, /schema version 999; this program knows versions up to \d+\nRun the newer Croft/);
  alter('DELETE FROM schema_versions WHERE version = 999');
  await farm.restart();
  assert.deepEqual((await getBuild(farm, id)).end, { kind: 'passed' });
});

test('below the low-water mark nothing starts, and the pages, /readyz and each build say why; with space again it goes on', async () => {
  await using repo = await makeRepo('#!/bin/sh\n');
  const config: Partial<ConfigInput> & { lowWaterBytes: number } = { ...configOf({ repo: repo.dir }), lowWaterBytes: 1e15 };
  await using farm = await startFarm({ config });
  const { id } = await onlyBuild(farm);
  const why = /no new builds: [\d.]+ GB free on .*, 1000000\.0 GB wanted; free some space/;
  const { wait, state } = await farm.waitFor('the reason', async () => ((await getBuild(farm, id)).wait ? getBuild(farm, id) : undefined));
  assert.equal(state, 'queued');
  assert.equal(wait?.code, 'hold');
  assert.match(wait?.text ?? '', why);
  const ready = await fetch(`${farm.url}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), why);
  for (const path of ['/', '/farm', `/builds/${id}`]) assert.match(await pageOf(farm, path), why, path);
  assert.equal((await fetch(`${farm.url}/healthz`)).status, 200);
  await farm.stop('SIGINT');
  config.lowWaterBytes = 0;
  await farm.restart();
  assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
  await farm.waitFor('ready', async () => (await fetch(`${farm.url}/readyz`)).status === 200);
});

test('a tree with a link out of it is skipped with the reason, and the next commit is built', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo({ '.ci/run': { executable: stage.script('cat outside inside/../inside/file') }, 'inside/file': 'x\n' });
  await repo.commit({ outside: { link: '../../../../../../../../etc/passwd' } }, 'up and out');
  await repo.commit({ outside: { link: '/etc/passwd' } }, 'absolute');
  await repo.commit({ outside: { link: 'inside/file' } }, 'inside');
  await using farm = await startFarm({ repo: repo.dir, args: ['--depth', '3'] });
  const ends: Record<string, unknown> = {};
  for (const { id } of await foundBuilds(farm, 3)) {
    const { end, commit } = await endedBuild(farm, id);
    ends[commit?.subject ?? ''] = end?.kind === 'skipped' ? /"?outside"?.*(link|outside)/i.test(end.why) || end.why : end?.kind;
  }
  assert.deepEqual(ends, { 'up and out': true, absolute: true, inside: 'passed' });
});

test('a command that cannot start, runs too long or writes too much ends as what it is, and leaves nothing', async () => {
  await using repo = await makeRepo({ a: '1\n' });
  const step = (argv: string[], limitMs = 60_000): NonNullable<ConfigInput['builders']>[number]['steps'] => [
    { name: 'run', argv, limitMs },
  ];
  const config: Partial<ConfigInput> = {
    ...configOf({ repo: repo.dir }),
    outputLimitBytes: 100_000,
    builders: [
      { name: 'missing', repo: 'repo', steps: step(['no-such-program-anywhere']) },
      { name: 'long', repo: 'repo', steps: step(['sh', '-c', 'echo begun; sleep 3600 & wait'], 300) },
      { name: 'much', repo: 'repo', steps: step(['yes']) },
      { name: 'killed', repo: 'repo', steps: step(['sh', '-c', 'kill -SEGV $$']) },
    ],
  };
  await using farm = await startFarm({ config });
  const ended = await Promise.all((await foundBuilds(farm, 4)).map(({ id }) => endedBuild(farm, id)));
  const of = (builder: string): Awaited<ReturnType<typeof endedBuild>> =>
    ended.find((build) => build.builder === builder) ?? assert.fail(builder);
  const textOf = (builder: string): string => JSON.stringify(of(builder).end);
  assert.match(textOf('missing'), /"failed","step":"run","text":"no program \\"no-such-program-anywhere\\" in PATH/);
  assert.match(textOf('long'), /"timed-out","step":"run","text":"it ran longer than 300 ms"/);
  assert.equal((await logOf(farm, of('long').id)).toString(), 'begun\n');
  assert.match(textOf('much'), /"failed","step":"run","text":"it wrote more than 100000 bytes"/);
  assert.ok((await logOf(farm, of('much').id)).length >= 100_000);
  assert.deepEqual(of('killed').end, { kind: 'failed', step: 'run', text: 'signal: SIGSEGV' });
  await farm.waitFor('every kernel group gone', () => ended.every(({ id }) => kernelGroupsOf(id).length === 0));
});

test('malformed and oversized requests are refused, each with its status, and the farm goes on', async () => {
  await using repo = await makeRepo('#!/bin/sh\n');
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  await endedBuild(farm, id);
  const before = await builds(farm);
  const json = { 'content-type': 'application/json' };
  const asked: [path: string, init: RequestInit, status: number][] = [
    [`/api/v1/builds/${id}/cancel`, { method: 'POST', headers: json, body: '{ nope' }, 400],
    [`/api/v1/builds/${id}/cancel`, { method: 'POST', headers: json, body: '{"why":1}' }, 400],
    [`/api/v1/builds/${id}/cancel`, { method: 'POST', headers: json, body: JSON.stringify({ why: 'x'.repeat(20_000_000) }) }, 413],
    [`/api/v1/builds/${id}/cancel`, { method: 'POST', headers: { 'content-type': 'text/html' }, body: '{}' }, 400],
    ['/api/v1/builds?limit=1000000', {}, 400],
    ['/api/v1/builds?state=odd', {}, 400],
    ['/api/v1/builds/nonsense', {}, 404],
    ['/api/v1/builds/B0000000000000000', {}, 404],
    ['/api/v1/grid?repo=nowhere', {}, 404],
    ['/api/v1/repos/nowhere/notify', { method: 'POST' }, 404],
    [`/builds/${id}/attempts/99/log`, {}, 404],
    [`/builds/${id}/attempts/1/log`, { headers: { range: 'bytes=99999999-' } }, 416],
    [`/builds/${id}/attempts/1/log/events?from=-1`, {}, 400],
    ['/builds/%00', {}, 400],
    ['/static/%2e%2e/%2e%2e/package.json', {}, 404],
    [`/log/${'0'.repeat(40)}`, {}, 404],
    ['/log/..%2f..%2fetc%2fpasswd', {}, 404],
  ];
  for (const [path, init, status] of asked) {
    const response = await fetch(`${farm.url}${path}`, init);
    const body = await response.text();
    assert.equal(response.status, status, `${init.method ?? 'GET'} ${path}: ${body.slice(0, 200)}`);
    assert.doesNotMatch(body, /\.ts:\d+/, 'no stack is shown');
  }
  const { port } = new URL(farm.url);
  const raw: [head: string, answer: RegExp][] = [
    ['GARBAGE\r\n\r\n', /^HTTP\/1\.1 400 |^$/],
    [`GET / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    [`GET /${'y'.repeat(20_000)} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`, /^HTTP\/1\.1 (414|431) /],
    [`GET / HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 4\d\d /],
    [`GET http://evil.example/ HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: close\r\n\r\n`, /^HTTP\/1\.1 403 /],
    [`POST / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello`, /^HTTP\/1\.1 4\d\d /],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /./s],
  ];
  for (const [head, answer] of raw) assert.match(await exchange(Number(port), head), answer, head.slice(0, 60));
  assert.equal(await builds(farm), before);
  assert.equal((await fetch(`${farm.url}/readyz`)).status, 200);
});

/** Sends the bytes and reads until the other side closes, in whatever way. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', signal: systemClock.deadline(20_000) });
  let answer = '';
  socket.setEncoding('latin1').on('data', (piece: string) => (answer += piece));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.end(bytes);
  await closed;
  return answer;
}
