import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { release } from '@croft/runtime/release';
import { parseTime } from './commands/token.ts';
import { openTestServer, runWith, testAttempt, testBuild, testId, testNow } from './testing.ts';

const detail = `GET /api/v1/builds/${testId}`;
const other = 'Bffffffffffffffff';

describe('croft builds', () => {
  test('lists builds in plain lines, and passes its filters on', async () => {
    const failed = testBuild({ id: other, end: { kind: 'failed', step: 'test', text: 'exit status 1\u001b[2J\n' } });
    await using server = await openTestServer({ 'GET /api/v1/builds': () => Response.json({ builds: [testBuild(), failed], next: 'c1' }) });
    const ran = await runWith(['builds', '--server', server.url, '--repo', 'croft', '--state', 'ended', '--limit', '2']);
    assert.equal(
      ran.stdout,
      `passed  ${testId}  linux  croft@a1b2c3d4  1 m 40 s\nfailed  ${other}  linux  croft@a1b2c3d4  1 m 40 s  failed in test: exit status 1 [2J\n`,
    );
    assert.equal(ran.stderr, 'more: croft builds --before c1\n');
    assert.deepEqual([ran.status, server.asked], [0, ['GET /api/v1/builds?repo=croft&state=ended&limit=2']]);
  });

  test('gives programs the farm’s own JSON, wherever --json stands', async () => {
    await using server = await openTestServer({ 'GET /api/v1/builds': () => Response.json({ builds: [], next: 'c1' }) });
    for (const args of [
      ['--json', 'builds'],
      ['builds', '--json'],
    ]) {
      assert.deepEqual(await runWith([...args, '--server', server.url]).then(({ stdout, stderr }) => [JSON.parse(stdout), stderr]), [
        { builds: [], next: 'c1' },
        '',
      ]);
    }
  });

  test('is coloured on a terminal alone', async () => {
    await using server = await openTestServer({ 'GET /api/v1/builds': () => Response.json({ builds: [testBuild()] }) });
    assert.match((await runWith(['builds', '--server', server.url], { terminal: true })).stdout, /^<green>passed<\/green> {2}B/);
  });
});

test('croft show tells attempts, steps and why', async () => {
  const build = testBuild({
    state: 'running',
    end: undefined,
    attempts: 2,
    expectedEndAt: testNow + 60_000,
    attemptList: [
      testAttempt({ end: { kind: 'infra', cause: 'buildlet-died', evidence: 'killed' } }),
      testAttempt({ number: 2, state: 'running', end: undefined, endedAt: undefined }),
    ],
  });
  await using server = await openTestServer({ [detail]: () => Response.json(build) });
  const { stdout } = await runWith(['show', testId, '--server', server.url]);
  assert.match(stdout, /^running {2}linux {2}croft@a1b2c3d4e5f6/);
  assert.match(stdout, /expected to end in 60 s/);
  assert.match(
    stdout,
    /attempt 1 on local-1: infrastructure \(buildlet-died\): killed, 1 m 40 s, log 2\.0 KiB complete\n {2}package\.json has a test script\n {2}test {2}exit 0 {2}1 m 20 s {2}npm test/,
  );
  assert.match(stdout, /attempt 2 on local-1: running, 6 m 40 s/);
  assert.ok(stdout.endsWith(`${server.url}/builds/${testId}\n`));
});

describe('croft retry and cancel', () => {
  test('do each, and fail at the end when one could not be done', async () => {
    await using server = await openTestServer({
      [`POST /api/v1/builds/${testId}/retry`]: () => Response.json({ code: 'conflict', message: 'it is running' }, { status: 409 }),
      [`POST /api/v1/builds/${other}/retry`]: () => Response.json(testBuild({ id: other, state: 'queued', end: undefined })),
    });
    const ran = await runWith(['retry', testId, other, '--server', server.url]);
    assert.deepEqual(ran.status, 1);
    assert.equal(ran.stdout, `${other} queued again\n`);
    assert.equal(ran.stderr, `${testId}: it is running\n`);
  });

  test('ask nothing at all when an id cannot be one', async () => {
    await using server = await openTestServer({});
    const ran = await runWith(['retry', testId, 'nonsense', '--server', server.url]);
    assert.deepEqual([ran.status, server.asked], [2, []]);
  });

  test('cancelling needs a reason, which is passed on', async () => {
    await using server = await openTestServer({
      [`POST /api/v1/builds/${testId}/cancel`]: () => Response.json(testBuild({ state: 'cancelling', end: undefined })),
    });
    assert.equal((await runWith(['cancel', testId, '--server', server.url])).status, 2);
    assert.equal((await runWith(['cancel', testId, '--why', 'stuck', '--server', server.url])).status, 0);
    assert.deepEqual(server.asked, [`POST /api/v1/builds/${testId}/cancel {"why":"stuck"}`]);
  });
});

test('croft notify prints what was queued', async () => {
  await using server = await openTestServer({ 'POST /api/v1/repos/croft/notify': () => Response.json({ queued: [testId] }) });
  const ran = await runWith(['notify', 'croft', '--server', server.url]);
  assert.deepEqual([ran.stdout, ran.stderr], [`${testId}\n`, '1 queued\n']);
});

describe('croft key', () => {
  const view = { id: 'K0', name: 'rack 3', hostType: 'host-a', createdAt: testNow, expiresAt: testNow + 10 * 86_400_000 };

  test('makes a key for one host type, alone on stdout', async () => {
    await using server = await openTestServer({
      'POST /api/v1/keys': () => Response.json({ ...view, secret: 'croftkey_s' }, { status: 201 }),
    });
    const ran = await runWith(['key', 'create', '--host-type', 'host-a', '--expires', '800d', '--server', server.url]);
    assert.equal(ran.stdout, 'croftkey_s\n');
    assert.deepEqual(server.asked, ['POST /api/v1/keys {"hostType":"host-a","name":"host-a","expiresInMs":69120000000}']);
  });

  test('lists and revokes keys', async () => {
    await using server = await openTestServer({
      'GET /api/v1/keys': () => Response.json({ keys: [view, { ...view, id: 'K1', revokedAt: testNow }] }),
      'DELETE /api/v1/keys/K0': () => Response.json({ ...view, revokedAt: testNow }),
    });
    const { stdout } = await runWith(['key', 'list', '--server', server.url]);
    assert.match(stdout, /^K0 {2}host-a {2}rack 3 {2}until .*\nK1 .* revoked/);
    assert.equal((await runWith(['key', 'revoke', 'K0', '--server', server.url])).stdout, 'K0 revoked\n');
  });
});

test('croft machines drains a machine, gives it back and declares it lost', async () => {
  const drain = '/api/v1/machines/rack-a/drain';
  await using server = await openTestServer({
    [`POST ${drain}`]: () => Response.json({ id: 'rack-a', drained: { by: 'you', why: 'disk', at: testNow } }),
    [`DELETE ${drain}`]: () => Response.json({ id: 'rack-a' }),
    'POST /api/v1/machines/rack-a/lose': () => Response.json({ id: 'rack-a' }),
  });
  const said = async (...args: string[]): Promise<string> => (await runWith(['machines', ...args, '--server', server.url])).stdout;
  assert.equal(await said('drain', 'rack-a', '--why', 'disk'), 'rack-a takes no more work\n');
  assert.equal(await said('undrain', 'rack-a'), 'rack-a takes work again\n');
  assert.equal(await said('lose', 'rack-a'), 'rack-a is declared lost\n');
  assert.deepEqual(server.asked, [
    `POST ${drain} {"why":"disk"}`,
    `DELETE ${drain}`,
    'POST /api/v1/machines/rack-a/lose {"why":"no reason given"}',
  ]);
});

describe('croft token', () => {
  const view = { id: 'T0', name: 'ci', role: 'viewer', repos: [], createdAt: testNow, expiresAt: testNow + 3_600_000 };

  test('create prints the secret and nothing else on stdout', async () => {
    await using server = await openTestServer({
      'POST /api/v1/tokens': () => Response.json({ ...view, secret: 'croft_s' }, { status: 201 }),
    });
    const ran = await runWith(['token', 'create', '--name', 'ci', '--expires', '1h', '--repo', 'a', 'b', '--server', server.url]);
    assert.equal(ran.stdout, 'croft_s\n');
    assert.match(ran.stderr, /T0: viewer, until 2026-01-15 13:00:00 UTC/);
    assert.deepEqual(server.asked, ['POST /api/v1/tokens {"name":"ci","role":"viewer","repos":["a","b"],"expiresInMs":3600000}']);
  });

  test('list and revoke', async () => {
    await using server = await openTestServer({
      'GET /api/v1/tokens': () =>
        Response.json({ tokens: [view, { ...view, id: 'T1', revokedAt: testNow, lastUsedAt: testNow - 120_000 }] }),
      'DELETE /api/v1/tokens/T0': () => Response.json({ ...view, revokedAt: testNow }),
    });
    const { stdout } = await runWith(['token', 'list', '--server', server.url]);
    assert.equal(
      stdout,
      'T0  ci  viewer  all repositories  until 2026-01-15  never used\nT1  ci  viewer  all repositories  revoked           used 2 min ago\n',
    );
    assert.equal((await runWith(['token', 'revoke', 'T0', '--server', server.url])).stdout, 'T0 revoked\n');
  });

  test('times are hours or days, a year at most', () => {
    assert.equal(parseTime('12h'), 12 * 3_600_000);
    assert.equal(parseTime('366d'), 366 * 86_400_000);
    for (const bad of ['0d', '367d', '1w', '-1d', '', '1.5h']) assert.throws(() => parseTime(bad), /--expires/, bad);
  });
});

describe('the exit status and the message', () => {
  test('say when the farm cannot be reached', async () => {
    const server = await openTestServer({});
    await server[Symbol.asyncDispose]();
    const ran = await runWith(['builds', '--server', server.url]);
    assert.equal(ran.status, 3);
    assert.match(ran.stderr, /cannot be reached.*\nIs the farm running/s);
    assert.equal((await runWith(['builds'])).status, 3);
  });

  test('say who may not', async () => {
    const refuse = (code: string, status: number) => (): Response => Response.json({ code, message: 'no', hint: 'sign in' }, { status });
    await using server = await openTestServer({
      'GET /api/v1/builds': refuse('unauthenticated', 401),
      'GET /api/v1/tokens': refuse('forbidden', 403),
    });
    assert.deepEqual(await runWith(['builds', '--server', server.url]), {
      status: 4,
      stdout: '',
      stderr: 'croft: no\nsign in\n',
      bytes: Buffer.alloc(0),
    });
    assert.equal((await runWith(['token', 'list', '--server', server.url])).status, 4);
  });

  test('say what was used wrongly', async () => {
    for (const args of [
      ['nothing'],
      ['builds', '--state', 'asleep'],
      ['show'],
      ['show', 'B1', '--server', 'http://127.0.0.1:1'],
      ['log', testId, '--from', '-1'],
      ['builds', '--server', 'ftp://x'],
    ]) {
      const ran = await runWith(args);
      assert.equal(ran.status, 2, args.join(' '));
      assert.notEqual(ran.stderr, '', args.join(' '));
    }
  });

  test('--version tells the release, and help tells of it', async () => {
    const ran = await runWith(['--version']);
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, `croft ${release}\n`, '']);
    assert.match((await runWith(['--help'])).stdout, /--version +print the version and end/);
  });

  test('help is no mistake', async () => {
    const ran = await runWith(['--help']);
    assert.equal(ran.status, 0);
    assert.match(ran.stdout, /Exit status: 0 done, 1 the build failed/);
  });
});

describe('which farm and which token', () => {
  async function inFarm(run: (root: string, dataDir: string) => Promise<void>): Promise<void> {
    const root = await mkdtemp(join(tmpdir(), 'croft-cli-'));
    try {
      await mkdir(join(root, '.croft'));
      await mkdir(join(root, 'deep', 'down'), { recursive: true });
      await run(root, join(root, '.croft'));
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  }
  const whoAsks = async (): Promise<{ url: string; seen: (string | null)[] } & AsyncDisposable> => {
    const seen: (string | null)[] = [];
    const server = await openTestServer({
      'GET /api/v1/builds': ({ headers }) => {
        seen.push(headers.get('authorization'));
        return Response.json({ builds: [] });
      },
    });
    return { url: server.url, seen, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  };

  test('come from the nearest farm’s own files', () =>
    inFarm(async (root, dataDir) => {
      await using server = await whoAsks();
      await writeFile(join(dataDir, 'address.json'), JSON.stringify({ url: server.url }));
      const cwd = join(root, 'deep', 'down');
      await runWith(['builds'], { cwd });
      await writeFile(join(dataDir, 'admin-token'), 'croft_admin\n', { mode: 0o600 });
      await runWith(['builds'], { cwd });
      assert.deepEqual(server.seen, [null, 'Bearer croft_admin']);
    }));

  test('come from below .croft, where "npm start" keeps a directory for each repository; of two farms one has to be named', () =>
    inFarm(async (root, dataDir) => {
      await using server = await whoAsks();
      await mkdir(join(dataDir, 'one'));
      await mkdir(join(dataDir, 'two'));
      await writeFile(join(dataDir, 'one', 'address.json'), JSON.stringify({ url: server.url }));
      assert.equal((await runWith(['builds'], { cwd: root })).status, 0);
      await writeFile(join(dataDir, 'two', 'address.json'), JSON.stringify({ url: server.url }));
      const ran = await runWith(['builds'], { cwd: root });
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /more than one farm.*one, .*two\nName the one that is meant: --server URL/);
      assert.equal((await runWith(['builds', '--server', server.url], { cwd: root })).status, 0);
    }));

  test('are the given ones before those of the environment; another farm never gets this one’s token', () =>
    inFarm(async (_, dataDir) => {
      await using server = await whoAsks();
      await writeFile(join(dataDir, 'address.json'), '{"url":"http://127.0.0.1:1"}');
      await writeFile(join(dataDir, 'admin-token'), 'croft_admin\n', { mode: 0o600 });
      const env = { CROFT_SERVER: server.url, CROFT_TOKEN: 'croft_env' };
      await runWith(['builds', '--token', 'croft_given'], { cwd: dataDir, env });
      await runWith(['builds'], { cwd: dataDir, env });
      await runWith(['builds'], { cwd: dataDir, env: { CROFT_SERVER: server.url } });
      assert.deepEqual(server.seen, ['Bearer croft_given', 'Bearer croft_env', null]);
    }));

  test('a token that others can read is not used', () =>
    inFarm(async (root) => {
      await using server = await whoAsks();
      await mkdir(join(root, 'croft'));
      const path = join(root, 'croft', 'token');
      await writeFile(path, 'croft_mine');
      await chmod(path, 0o644);
      const env = { XDG_CONFIG_HOME: root };
      const ran = await runWith(['builds', '--server', server.url], { env });
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /others can read the token in .*\nRun: chmod 600/);
      await chmod(path, 0o600);
      await runWith(['builds', '--server', server.url], { env });
      assert.deepEqual(server.seen, ['Bearer croft_mine']);
    }));
});

test('as a program: bytes go out as they are, and a reader who leaves is no failure', async () => {
  const bytes = Buffer.from([0xff, 0x00, 0x1b, 0x5b, 0x33, 0x31, 0x6d, 0x0a]);
  const many = Buffer.alloc(4 << 20, 'x');
  await using server = await openTestServer({
    [detail]: () => Response.json(testBuild()),
    [`GET /builds/${testId}/attempts/1/log`]: () => new Response(bytes),
    [`GET /builds/${testId}/attempts/2/log`]: () => new Response(many),
  });
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const start = (...args: string[]) =>
    spawn(process.execPath, [main, 'log', testId, '--server', server.url, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const whole = start();
  const [out] = await Promise.all([whole.stdout.toArray(), once(whole, 'exit')]);
  assert.deepEqual([Buffer.concat(out as Buffer[]), whole.exitCode], [bytes, 0]);
  const left = start('--attempt', '2');
  await once(left.stdout, 'data');
  left.stdout.destroy();
  const [said] = await Promise.all([text(left.stderr), once(left, 'exit')]);
  assert.deepEqual([said, left.exitCode], ['', 0]);
});
