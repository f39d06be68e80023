/** The commands that look at a whole farm, and those that act on all that a query finds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Farm, Grid } from '@croft/protocol/api';
import { openTestServer, runWith, testBuild, testId, testNow } from './testing.ts';

const other = 'Bffffffffffffffff';
const summary = ({ attemptList: _, commit: _commit, ...build } = testBuild()) => build;
const failed = summary(testBuild({ id: other, end: { kind: 'failed', step: 'test', text: 'exit status 1' } }));

describe('croft retry and cancel by a query', () => {
  const list = 'GET /api/v1/builds';

  test('retry takes what failed, page by page, and nothing else', async () => {
    await using server = await openTestServer({
      [list]: ({ url }) => Response.json(url.includes('before=c1') ? { builds: [failed] } : { builds: [summary()], next: 'c1' }),
      [`POST /api/v1/builds/${other}/retry`]: () => Response.json(summary(testBuild({ id: other, state: 'queued', end: undefined }))),
    });
    const ran = await runWith(['retry', '--builder', 'linux', '--repo', 'croft', '--server', server.url]);
    assert.deepEqual([ran.status, ran.stdout], [0, `${other} queued again\n`]);
    const query = 'repo=croft&builder=linux&state=ended';
    assert.deepEqual(server.asked, [
      `GET /api/v1/builds?${query}&limit=500`,
      `GET /api/v1/builds?${query}&before=c1&limit=500`,
      `POST /api/v1/builds/${other}/retry`,
    ]);
  });

  test('--dry-run changes nothing, and --end says which ends are meant', async () => {
    await using server = await openTestServer({ [list]: () => Response.json({ builds: [summary(), failed] }) });
    const on = (...args: string[]) => runWith(['retry', '--dry-run', '--repo', 'a', '--server', server.url, ...args]);
    assert.equal((await on()).stdout, `${other} would be queued again\n`);
    assert.deepEqual(JSON.parse((await on('--end', 'passed', '--json')).stdout), { dryRun: true, builds: [testId] });
    assert.ok(server.asked.every((asked) => asked.startsWith('GET')));
  });

  test('cancel asks for what waits and what runs, and leaves what is ending', async () => {
    const states = {
      queued: [testBuild({ state: 'queued', end: undefined })],
      running: [testBuild({ id: other, state: 'cancelling', end: undefined })],
    };
    await using server = await openTestServer({
      [list]: ({ url }) => Response.json({ builds: (url.includes('state=queued') ? states.queued : states.running).map(summary) }),
      [`POST /api/v1/builds/${testId}/cancel`]: () => Response.json(summary(testBuild({ end: { kind: 'cancelled', by: 'me', why: 'w' } }))),
    });
    const ran = await runWith(['cancel', '--revision', 'f'.repeat(40), '--why', 'w', '--server', server.url]);
    assert.deepEqual([ran.status, ran.stdout], [0, `${testId} cancelled\n`]);
  });

  test('neither builds nor a query, both, and too many builds are wrong use, and nothing is done', async () => {
    await using server = await openTestServer({ [list]: () => Response.json({ builds: [failed, { ...failed, id: testId }] }) });
    const on = (...args: string[]) => runWith([...args, '--server', server.url]);
    for (const args of [['retry'], ['retry', testId, '--repo', 'a'], ['cancel', '--why', 'x'], ['retry', '--repo', 'a', '--limit', '0']])
      assert.equal((await on(...args)).status, 2, args.join(' '));
    const many = await on('retry', '--repo', 'a', '--limit', '1');
    assert.deepEqual([many.status, many.stdout], [2, '']);
    assert.match(many.stderr, /more than 1 builds are meant\n.*--limit/);
    assert.ok(server.asked.every((asked) => asked.startsWith('GET')));
  });
});

const farm: Farm = {
  version: '1.2',
  startedAt: testNow - 120_000,
  troubles: [],
  dialIn: [],
  disk: { path: '/', freeBytes: 5e9, lowWaterBytes: 1, ok: true },
  machines: [
    {
      id: 'local-1',
      pool: 'local',
      hostType: 'h',
      labels: ['linux'],
      state: 'ready',
      createdAt: 0,
      seenAt: testNow,
      epoch: 1,
      next: 'takes work',
    },
  ],
  machineCounts: { ready: 1, busy: 0, away: 0 },
  running: [],
  runningLength: 0,
  queue: [
    summary(
      testBuild({
        state: 'queued',
        end: undefined,
        since: testNow - 1_000,
        wait: { code: 'machines-busy', text: 'all are busy', position: 0 },
      }),
    ),
  ],
  queueLength: 3,
  repos: [
    { name: 'app', url: '/srv/app', defaultBranch: 'main', lastFetchAt: testNow - 120_000 },
    { name: 'lib', url: '/srv/lib', error: 'gone\u001b[2J' },
  ],
  config: { environment: 'local', loadedAt: 0, restart: [] },
};

test('croft farm tells machines, what waits and what is wrong, and the exit status says it where asked', async () => {
  let answer = farm;
  await using server = await openTestServer({ 'GET /api/v1/farm': () => Response.json(answer) });
  const on = (...args: string[]) => runWith([...args, '--server', server.url]);
  const well = await on('farm', '--exit-status');
  assert.equal(well.status, 0);
  assert.match(
    well.stdout,
    /^Croft 1\.2, started 2 min ago; 4\.7 GiB free\n\nlocal-1 {2}ready {2}linux.* takes work\n\nqueued .*all are busy\nand 2 more that wait\n$/,
  );
  answer = { ...farm, hold: 'the disk is full', troubles: [{ what: 'fetching lib', text: 'gone', since: testNow - 120_000 }] };
  assert.match((await on('farm')).stdout, /nothing starts: the disk is full\nfetching lib: gone, since 2 min ago\n/);
  assert.deepEqual([(await on('farm')).status, (await on('farm', '--exit-status')).status], [0, 1]);
  assert.deepEqual(JSON.parse((await on('farm', '--json')).stdout), JSON.parse(JSON.stringify(answer)));
  assert.equal((await on('repos')).stdout, 'app  main  fetched 2 min ago  /srv/app\nlib        never fetched      gone [2J\n');
  assert.deepEqual(JSON.parse((await on('repos', '--json')).stdout), { repos: farm.repos });
});

test('croft farm tells which machines have not dialled in, and what to do', async () => {
  const known = [{ host: 'mac-2\u001b[2J', seenAt: testNow - 120_000, why: 'its line ended' }];
  const dialIn = [
    { pool: 'macs', hostType: 'darwin-arm64', expect: 4, connected: 1, missing: known },
    { pool: 'all-here', hostType: 'h', expect: 1, connected: 2, missing: [] },
  ];
  await using server = await openTestServer({ 'GET /api/v1/farm': () => Response.json({ ...farm, dialIn }) });
  const { stdout } = await runWith(['farm', '--server', server.url]);
  assert.ok(
    stdout.includes(
      '3 missing: 1 of 4 machines of the pool macs are connected\n  mac-2 [2J, last here 2 min ago: its line ended\n' +
        '  a new one joins by /dist/install.sh of the farm with a key of croft key create --host-type darwin-arm64;\n' +
        '  the log of its service, croft-buildlet, tells why another one stays away\n',
    ),
    stdout,
  );
  assert.ok(!stdout.includes('all-here'));
});

test('croft machines list asks for each page, and tells which machines are kept for borrowing', async () => {
  const [machine] = farm.machines;
  const counts = { ready: 2, busy: 0, away: 0 };
  const kept = { ...machine, id: 'local-2', forSessions: true, next: 'waits for somebody to borrow it' };
  await using server = await openTestServer({
    'GET /api/v1/machines': (request) => {
      const isFirst = new URL(request.url).searchParams.get('after') === null;
      return Response.json({ machines: [isFirst ? machine : kept], found: 2, counts, ...(isFirst && { next: 'local-1' }) });
    },
  });
  const on = (...args: string[]) => runWith(['machines', 'list', ...args, '--server', server.url]);
  assert.equal(
    (await on('--state', 'ready', 'linux', 'local')).stdout,
    'local-1  ready  linux                 takes work\nlocal-2  ready  for sessions,linux    waits for somebody to borrow it\n',
  );
  assert.deepEqual(server.asked, [
    'GET /api/v1/machines?find=linux+local&limit=500&state=ready',
    'GET /api/v1/machines?find=linux+local&limit=500&state=ready&after=local-1',
  ]);
  const { machines } = JSON.parse((await on('--json')).stdout) as { machines: { id: string; forSessions?: boolean }[] };
  assert.deepEqual(
    machines.map(({ id, forSessions }) => [id, forSessions]),
    [
      ['local-1', undefined],
      ['local-2', true],
    ],
  );
  assert.equal((await on('--state', 'asleep')).status, 2);
});

test('croft grid shows a mark for each cell, and croft builders the newest build of each', async () => {
  const commit = (n: number) => ({
    repo: 'app',
    revision: String(n).repeat(40),
    subject: `change ${n}`,
    authorName: 'a',
    authorEmail: 'b',
    committedAt: 0,
  });
  const waiting = summary(testBuild({ state: 'queued', end: undefined }));
  const grid: Grid = {
    repo: 'app',
    repos: ['app'],
    branch: 'main',
    branches: ['main'],
    page: 1,
    older: true,
    builders: ['unit', 'lint', 'new'],
    rows: [
      { commit: commit(2), cells: [waiting, null, null] },
      { commit: commit(1), cells: [summary(), failed, null] },
    ],
  };
  await using server = await openTestServer({ 'GET /api/v1/grid': () => Response.json(grid) });
  const on = (...args: string[]) => runWith([...args, '--server', server.url]);
  const shown = await on('grid', '--repo', 'app', '--page', '1');
  assert.equal(shown.stdout, 'unit\n|lint\n||new\n.    22222222  change 2\n+x   11111111  change 1\n');
  assert.equal(shown.stderr, 'app main\nolder: croft grid --page 2\n');
  assert.deepEqual(server.asked, ['GET /api/v1/grid?repo=app&page=1']);
  assert.match(
    (await on('builders')).stdout,
    new RegExp(`^unit {2}queued +${testId} .*\\nlint {2}failed +${other} .*\\nnew +no build\\n$`),
  );
  const { builders } = JSON.parse((await on('builders', '--json')).stdout);
  assert.deepEqual(
    builders.map(({ name, build }: { name: string; build?: { id: string } }) => [name, build?.id]),
    [
      ['unit', testId],
      ['lint', other],
      ['new', undefined],
    ],
  );
});

test('croft records, audit and whoami', async () => {
  const what = { IsTry: false, Rev: 'r', Repo: 'app', Builder: 'unit', OS: 'linux', Arch: 'amd64' };
  const span = { ...what, BuildID: 'B.1', Event: 'run_test', Error: 'exit 1', Detail: 'test', StartTime: '', EndTime: '', Seconds: 90 };
  const records = {
    events: [{ attempt: 1, at: testNow, event: 'run_test', text: 'began' }],
    spans: [span],
    record: { ...what, ID: 'B', StartTime: '', Result: 'fail', LogURL: '' },
  };
  const entry = { id: 7, at: testNow, who: 'me', what: 'build.retry', target: testId, from: '127.0.0.1' };
  await using server = await openTestServer({
    [`GET /api/v1/builds/${testId}/records`]: () => Response.json(records),
    'GET /api/v1/audit': () => Response.json({ entries: [entry], next: 6 }),
    'GET /api/v1/me': () => Response.json({ name: 'me', role: 'operator' }),
  });
  const on = (...args: string[]) => runWith([...args, '--server', server.url]);
  for (const verb of ['records', 'events'])
    assert.equal(
      (await on(verb, testId)).stdout,
      '2026-01-15 12:00:00 UTC  attempt 1  run_test  began\n\nrun_test  1 m 30 s  test: exit 1\n',
    );
  assert.deepEqual(JSON.parse((await on('records', testId, '--json')).stdout), records);
  const audit = await on('audit', '--limit', '1');
  assert.equal(audit.stdout, `2026-01-15 12:00:00 UTC  me  build.retry  ${testId}  127.0.0.1\n`);
  assert.equal(audit.stderr, 'more: croft audit --before 6\n');
  assert.equal((await on('whoami')).stdout, `me  operator  ${server.url}\n`);
});

test('croft config show prints what was loaded, and what is wrong with the last edit', async () => {
  const mistake = { file: '/etc/croft.yaml', line: 3, setting: 'prot', message: 'there is no such setting', nearest: 'port' };
  const state = { file: '/etc/croft.yaml', environment: 'local', loadedAt: testNow - 120_000, restart: ['port'] };
  let answer: unknown = { state: { ...state, restart: [] }, settings: { port: 1 } };
  await using server = await openTestServer({ 'GET /api/v1/config': () => Response.json(answer) });
  const on = (...args: string[]) => runWith(['config', 'show', '--exit-status', ...args, '--server', server.url]);
  const well = await on();
  assert.deepEqual([well.status, well.stdout, well.stderr], [0, '{\n  "port": 1\n}\n', '/etc/croft.yaml, local, loaded 2 min ago\n']);
  answer = { state: { ...state, problem: { at: testNow - 120_000, count: 1, mistakes: [mistake] } }, settings: {} };
  const bad = await on();
  assert.equal(bad.status, 1);
  assert.equal(
    bad.stderr,
    `/etc/croft.yaml, local, loaded 2 min ago
these hold from the next start on: port
the edit of 2 min ago does not hold: 1 mistake
  /etc/croft.yaml:3:prot: there is no such setting; did you mean "port"?
`,
  );
  assert.deepEqual(JSON.parse((await on('--json')).stdout), answer);
});
