import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '@croft/config/read-config';
import { parseBuilderName, parseMachineId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { insertBuild } from '@croft/store/builds';
import { upsertMachine } from '@croft/store/machines';
import { formatSpan } from '../originals/build-records.ts';
import { createFarmer } from '../originals/farmer.ts';
import { hostHealth } from '../originals/host-health.ts';
import { go, openDashboardStage, revision, unit } from '../originals/testing-stage.ts';
import { buildId } from '@croft/domain/job';
import { growingLog } from '../pages/testing.ts';
import { testAttempt, testDetail, testStep } from '../pages/testing-views.ts';
import { openTestApp } from './testing.ts';

const secretStep = {
  name: 'test',
  role: 'run-tests',
  argv: ['sh', '-c', 'SECRET=1 make'],
  env: { TOKEN: 'hidden' },
  limitMs: 1_000,
} as const;
const config = readConfig({
  dataDir: 'data',
  repos: [
    { name: 'go', url: '/nowhere' },
    { name: 'tools', url: '/nowhere/else' },
  ],
  hostTypes: [{ name: 'host-linux', labels: ['linux'], owners: ['platform team'], notes: 'two of them' }],
  pools: [{ kind: 'local', size: 2, hostType: 'host-linux', labels: ['x64'] }],
  builders: [
    {
      name: 'linux-amd64',
      repo: 'go',
      hostType: 'host-linux',
      env: { PASSWORD: 'hidden' },
      knownIssues: ['https://go.example/issues/42'],
      steps: [secretStep],
      services: [{ name: 'db', argv: ['sh', '-c', 'SECRET=2 serve'], env: { PASS: 'hidden' }, ready: { argv: ['probe', 'hidden'] } }],
    },
    { name: 'tools-linux', repo: 'tools' },
  ],
});

test('reverse.json: each host type with its machines, what they do and who waits for them', async () => {
  await using stage = await openDashboardStage();
  const { db, records } = stage;
  const machines = ['m1', 'm2'].map(parseMachineId);
  const ids = [1, 2, 3].map((n) => ({
    builder: unit,
    revisions: [{ repo: go, revision: revision(n) }],
    trigger: { kind: 'branch', ref: 'main' } as const,
  }));
  await db.write(async (sql) => {
    for (const id of machines)
      await upsertMachine(sql, { id, pool: 'local', hostType: 'host-linux', labels: ['linux'], address: null, at: 1 });
    for (const [n, key] of ids.entries())
      await insertBuild(sql, {
        ...key,
        id: buildId(key),
        band: 'post-submit',
        needs: { labels: [n < 2 ? 'linux' : 'plan9'] },
        createdAt: 1,
      });
  });
  const [first, second] = machines;
  const [work] = ids.map(buildId);
  assert.ok(first && second && work && (await records.assign(work, first)));
  const watched = machines.map((id) => ({
    observed: { id, hostType: 'host-linux', labels: ['linux'], state: 'up' as const },
    pool: 'local',
    seenAt: 5,
  }));
  const farmer = createFarmer({ db, config: () => config, clock: systemClock, version: '9', watched: () => watched });
  const { 'host-linux': host } = await farmer.hosts();
  assert.deepEqual([host?.HostType, host?.Connected, host?.Expect, host?.Idle, host?.Busy, host?.Waiters], ['host-linux', 2, 2, 1, 1, 1]);
  assert.equal(host?.Machines['m1']?.Busy, true);
  assert.ok(host?.Machines['m1']?.BusySec !== undefined && host.Machines['m1'].IdleSec === undefined);
  assert.ok(host?.Machines['m2']?.IdleSec !== undefined && host.Machines['m2'].BusySec === undefined);
});

test('HC-1, HC-3: a host type is ok while all of it is there, and in the first two minutes nobody is woken', async () => {
  const host = { HostType: 'host-arm', Connected: 19, Expect: 20, Idle: 0, Busy: 0, Waiters: 0, Machines: {} };
  const told = (Connected: number, upMs = 600_000): string => {
    const { text, error } = hostHealth({ ...host, Connected }, upMs);
    return `${text.split('\n').at(-2)}${error ? ' !' : ''}`;
  };
  assert.equal(told(20), 'ok');
  assert.equal(told(21), 'ok');
  assert.equal(told(19), 'Warn: 1 machine missing, 5% of capacity');
  assert.equal(told(17), 'Error: 3 machines missing, 15% of capacity !');
  assert.equal(told(0, 60_000), 'Info: 20 machines missing, 100% of capacity');
  assert.match(hostHealth({ ...host, Connected: 1 }, 1e6).text, /^# "host-arm" status: .*\n# Notes: \/farm\nError: /);
  await using app = await openTestApp();
  const unknown = await app.ask('/status/constructor');
  assert.equal(unknown.status, 404);
});

test('builders.json: their fields and ours, but no environment and no arguments', async () => {
  await using app = await openTestApp();
  const hosts = app.farm.farmer.hosts;
  const { builders, hostTypes } = createFarmer({
    db: undefined as never,
    config: () => config,
    clock: systemClock,
    version: '',
    watched: () => [],
  });
  app.farm.farmer = { hosts, builders, hostTypes };
  const response = await app.ask('/builders?mode=json');
  const text = await response.text();
  assert.equal(/hidden|SECRET/.test(text), false);
  const { Builders, Hosts } = JSON.parse(text) as { Builders: Record<string, unknown>; Hosts: Record<string, unknown> };
  const entry = Builders['linux-amd64'] as Record<string, unknown>;
  assert.deepEqual([entry['Name'], entry['HostType'], entry['KnownIssues']], ['linux-amd64', 'host-linux', [42]]);
  assert.deepEqual(entry['steps'], [{ name: 'test', role: 'run-tests', limitMs: 1_000 }]);
  assert.deepEqual(entry['services'], ['db']);
  assert.deepEqual(entry['needs'], { labels: ['host-linux'] });
  assert.deepEqual(Hosts['host-linux'], {
    HostType: 'host-linux',
    ExpectNum: 2,
    Notes: 'two of them',
    Owners: [{ Name: 'platform team' }],
    pools: ['local'],
    labels: ['linux', 'x64', 'host-linux'],
  });
});

test('builders.json holds no builder of a repository that the token is not for', async () => {
  await using app = await openTestApp();
  const given = { db: undefined as never, config: () => config, clock: systemClock, version: '', watched: () => [] };
  app.farm.farmer = createFarmer(given);
  const namesFor = async (repos: string[]): Promise<string[]> => {
    const response = await app.ask('/builders?mode=json', { headers: await app.as('viewer', repos) });
    return Object.keys(((await response.json()) as { Builders: object }).Builders);
  };
  assert.deepEqual(await namesFor([]), ['linux-amd64', 'tools-linux']);
  assert.deepEqual(await namesFor(['tools']), ['tools-linux']);
  assert.deepEqual(await namesFor(['other']), []);
});

test('nothing active is null', async () => {
  await using app = await openTestApp();
  assert.equal(await (await app.ask('/status/post-submit-active.json')).text(), 'null');
});

test('LP-2, LP-3: the page of a live log tells what happened and goes on until the build ends', async () => {
  await using app = await openTestApp();
  const key = {
    builder: parseBuilderName('linux-amd64'),
    revisions: [{ repo: go, revision: revision(1) }],
    trigger: { kind: 'branch', ref: '' },
  } as const;
  const id = buildId(key);
  const at = Date.UTC(2017, 6, 14, 5);
  const step = testStep({
    name: 'test',
    role: 'run-tests',
    state: 'ended',
    startedAt: at + 1_000,
    endedAt: at + 11_555,
    logFrom: 0,
    logTo: 3,
    exit: { kind: 'exited', code: 1 },
  });
  const attempt = testAttempt({
    number: 1,
    state: 'running',
    startedAt: at,
    machine: 'm1',
    steps: [step],
    endedAt: undefined,
    end: undefined,
  });
  app.farm.state.builds.set(
    id,
    testDetail({
      id,
      builder: 'linux-amd64',
      revision: revision(1),
      state: 'running',
      end: undefined,
      createdAt: at,
      attemptList: [attempt],
    }),
  );
  const log = growingLog('one\n');
  app.farm.state.logs.set(`${id}.1`, log);
  const response = await app.ask(`/temporarylogs?name=linux-amd64&rev=${revision(1)}`);
  log.write('two\n');
  log.end();
  const text = await response.text();
  const head = `  builder: linux-amd64
      rev: ${revision(1)}
 buildlet: m1
  started: 2017-07-14T05:00:00Z
   status: still running

Events:
  2017-07-14T05:00:00Z queued${' '}
  2017-07-14T05:00:00Z using_buildlet m1
  2017-07-14T05:00:01Z run_tests test
  2017-07-14T05:00:11Z finish_run_tests after 10.6s; err=exit status 1; test
`;
  assert.equal(text.slice(0, head.length), head);
  assert.match(text.slice(head.length), /^ +\+\d+\.\ds \(now\)\n\nBuild log:\none\ntwo\n$/);
  const once = await app.ask(`/temporarylogs?name=x&rev=x&st=${id}&nostream=1`);
  assert.match(await once.text(), /live streaming disabled[^]*one\ntwo\n$/);
  assert.equal((await app.ask(`/temporarylogs?name=other&rev=${revision(1)}`)).status, 404);
});

test('REC-2: durations are rounded half up and written as theirs', () => {
  const cases: [number, string][] = [
    [10_555, '10.6s'],
    [10_499, '10.5s'],
    [9_456, '9.46s'],
    [9_401, '9.4s'],
    [859.445, '859.4ms'],
    [859.46, '859.5ms'],
    [0, '0s'],
    [0.31, '300µs'],
    [70_000, '1m10s'],
    [3_725_500, '1h2m5.5s'],
  ];
  for (const [ms, text] of cases) assert.equal(formatSpan(ms), text);
});

test('the records of a build follow from its attempts', async () => {
  await using app = await openTestApp();
  const step = testStep({
    name: 'test',
    role: 'step',
    state: 'ended',
    startedAt: 1_000,
    endedAt: 3_500,
    logFrom: 0,
    logTo: 0,
    exit: { kind: 'exited', code: 0 },
  });
  const attempt = testAttempt({ number: 1, state: 'ended', startedAt: 0, endedAt: 4_000, end: { kind: 'passed' }, steps: [step] });
  const detail = testDetail({ builder: 'linux-arm64-x', end: { kind: 'passed' }, attemptList: [attempt] });
  app.farm.state.builds.set(detail.id, detail);
  const { spans, record } = (await (await app.ask(`/api/v1/builds/${detail.id}/records`)).json()) as {
    spans: Record<string, unknown>[];
    record: Record<string, unknown>;
  };
  assert.deepEqual(
    [spans[0]?.['Event'], spans[0]?.['Seconds'], spans[0]?.['Error'], spans[0]?.['BuildID']],
    ['run_step', 2.5, '', `${detail.id}.1`],
  );
  assert.deepEqual([record['Result'], record['Seconds'], record['OS'], record['Arch']], ['ok', 4, 'linux', 'arm64']);
});

test('/try is kept, and says what is so', async () => {
  await using app = await openTestApp();
  assert.equal((await app.ask('/try?commit=abc')).status, 404);
  const response = await app.ask('/try.json?commit=abc');
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  assert.equal(((await response.json()) as { success: boolean }).success, false);
});
