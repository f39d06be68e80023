/** `--json`: whatever a command does or whyever it fails, stdout has one well-formed value, and docs/using/cli.md has its keys. */
import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { oneValue } from '@croft/cli/testing';
import { commandNames } from './cli.ts';
import { openTestServer, runWith, testBuild, testId, testNow } from './testing.ts';

const other = 'B00000000000000ff';
const view = { id: 'T0', name: 'ci', role: 'viewer', repos: [], hostType: 'h', createdAt: testNow, expiresAt: testNow + 1_000 };
const drain = '/api/v1/machines/rack-a/drain';
const counts = { ready: 0, busy: 0, away: 0 };
const config = { environment: 'local', loadedAt: testNow, restart: [] };
const disk = { path: '/', freeBytes: 2, lowWaterBytes: 1, ok: true };
const nothing = { repos: [], troubles: [], machines: [], running: [], queue: [] };
const farm = { ...nothing, version: '1', startedAt: testNow, disk, config, machineCounts: counts, runningLength: 0, queueLength: 0 };
const what = { IsTry: false, Rev: 'r', Repo: 'app', Builder: 'unit', OS: 'linux', Arch: 'amd64' };
const record = { ...what, ID: testId, StartTime: '', Result: 'ok', LogURL: '' };
const say = (value: unknown) => () => Response.json(value);
const answers = {
  'GET /api/v1/builds': say({ builds: [testBuild()] }),
  [`GET /api/v1/builds/${testId}`]: say(testBuild()),
  [`POST /api/v1/builds/${testId}/retry`]: say(testBuild()),
  [`POST /api/v1/builds/${testId}/cancel`]: say(testBuild()),
  [`GET /api/v1/builds/${testId}/artifacts`]: say({ artifacts: [] }),
  [`GET /api/v1/builds/${testId}/records`]: say({ events: [], spans: [], record }),
  [`GET /builds/${testId}/attempts/1/log`]: () => new Response('log\n'),
  'POST /api/v1/repos/app/notify': say({ queued: [testId] }),
  'GET /api/v1/grid': say({ repo: 'app', branch: 'main', repos: [], branches: [], page: 0, older: false, builders: [], rows: [] }),
  'GET /api/v1/farm': say(farm),
  'GET /api/v1/audit': say({ entries: [] }),
  'GET /api/v1/me': say({ name: 'ann', role: 'admin' }),
  'GET /api/v1/tokens': say({ tokens: [] }),
  'POST /api/v1/tokens': say({ ...view, secret: 's' }),
  'DELETE /api/v1/tokens/T0': say(view),
  'GET /api/v1/keys': say({ keys: [] }),
  'POST /api/v1/keys': say({ ...view, secret: 's' }),
  'DELETE /api/v1/keys/K0': say(view),
  'GET /api/v1/machines': say({ machines: [], found: 0, counts }),
  [`POST ${drain}`]: say({ id: 'rack-a' }),
  [`DELETE ${drain}`]: say({ id: 'rack-a' }),
  'POST /api/v1/machines/rack-a/lose': say({ id: 'rack-a' }),
  'GET /api/v1/config': say({ state: config, settings: {} }),
};

/** Commands that do what they should, and keys of what they write. */
const done: readonly (readonly [args: string, ...keys: string[]])[] = [
  ['builds', 'builds'],
  [`show ${testId}`, 'id', 'attemptList'],
  [`log ${testId}`, 'attempt', 'from', 'b64'],
  [`artifacts ${testId}`, 'artifacts'],
  [`retry ${testId}`, 'builds'],
  [`retry --dry-run ${testId}`, 'dryRun', 'builds'],
  [`cancel --why x ${testId}`, 'builds'],
  ['notify app', 'queued'],
  ['grid', 'builders', 'rows'],
  ['builders', 'repo', 'branch', 'builders'],
  ['farm', 'repos', 'machines'],
  ['repos', 'repos'],
  [`records ${testId}`, 'events', 'spans'],
  [`events ${testId}`, 'events', 'spans'],
  ['audit', 'entries'],
  ['whoami', 'name', 'role'],
  ['token create --name ci', 'id', 'secret'],
  ['token list', 'tokens'],
  ['token revoke T0', 'id'],
  ['key create --host-type h', 'id', 'secret'],
  ['key list', 'keys'],
  ['key revoke K0', 'id'],
  ['machines list', 'machines'],
  ['machines drain rack-a', 'id'],
  ['machines undrain rack-a', 'id'],
  ['machines lose rack-a', 'id'],
  ['config check a.yaml', 'valid', 'hash'],
  ['config show', 'state', 'settings'],
  ['retrybuilds --print-rules', 'rules'],
];
/** They need a repository or a buildlet: tried in `init.test.ts` and `run-local.test.ts`. */
const elsewhere = [
  ['init', 'file', 'repo', 'branch'],
  ['run', 'builder', 'end', 'steps'],
] as const;
/** Lines for a shell, which no program reads. */
const noJson = ['completion', 'complete'];

/** What these are called with is another word of their name. */
const commandsWithVerbs = ['token', 'key', 'machines', 'config'];

const dir = mkdtempDisposableSync(join(tmpdir(), 'croft-json-'));
process.once('exit', () => dir.remove());
writeFileSync(join(dir.path, 'a.yaml'), 'dataDir: data\nrepos: [{ name: app, url: ./app }]\nbuilders: [{ name: ci, repo: app }]\n');

describe('--json', () => {
  test('each command that does what it should writes one value, and the manual has its keys', async () => {
    await using server = await openTestServer(answers);
    const rows = readFileSync(join(import.meta.dirname, '../../../docs/using/cli.md'), 'utf8').split('\n');
    const keysInManual = (command: string): string =>
      rows.find((row) => row.startsWith('| `') && row.split(' | ')[0]?.includes(`\`${command}\``) && row.includes('{')) ?? '';
    for (const [args, ...keys] of done) {
      const { status, stdout, stderr } = await runWith([...args.split(' '), '--json', '--server', server.url], { cwd: dir.path });
      assert.equal(status, 0, `${args}: ${stderr}`);
      for (const key of keys) assert.ok(key in oneValue(stdout, args), `${args}: ${stdout}`);
    }
    for (const [args, ...keys] of [...done, ...elsewhere]) {
      const [name = '', verb = ''] = args.split(' ');
      const row = keysInManual(/^[a-z]+$/.test(verb) && commandsWithVerbs.includes(name) ? `${name} ${verb}` : name);
      for (const key of keys) assert.ok(row.includes(`"${key}"`), `${args}: ${key} in ${JSON.stringify(row)}`);
    }
  });

  test('each command that fails writes why as one value, and its status is that of text', async () => {
    await using empty = await openTestServer({});
    for (const name of commandNames.filter((one) => !noJson.includes(one)))
      for (const words of [[name], [name, '--no-such-option'], [name, 'x', 'y', 'z'], [name, testId], [name, 'list'], [name, 'show']]) {
        const options = { env: { CROFT_SERVER: empty.url, HOME: '/nowhere' }, cwd: '/' };
        const asText = await runWith(words, options);
        if (asText.status === 0) continue;
        const { status, stdout } = await runWith(['--json', ...words], options);
        const value = oneValue(stdout, words.join(' ')) as { error?: Record<string, unknown>; failures?: Record<string, unknown>[] };
        assert.equal(status, asText.status, words.join(' '));
        const { code, message } = value.error ?? value.failures?.[0] ?? {};
        assert.deepEqual([typeof code, typeof message], ['string', 'string'], words.join(' '));
        assert.doesNotMatch(String(message), /^\(/, words.join(' '));
      }
  });

  test('what fails for one build is told beside what was done, and files that were downloaded are', async () => {
    await using server = await openTestServer(answers);
    const on = (...args: string[]) => runWith([...args, '--json', '--server', server.url], { cwd: dir.path });
    const { builds, failures } = oneValue((await on('retry', other, testId)).stdout, 'retry') as Record<string, { id: string }[]>;
    assert.deepEqual(
      [builds?.map(({ id }) => id), failures],
      [[testId], [{ build: other, code: 'not-found', message: `nothing at /api/v1/builds/${other}/retry` }]],
    );
    const { status, stdout } = await on('artifacts', testId, '--get');
    assert.deepEqual([status, oneValue(stdout, 'artifacts')], [1, { files: [] }]);
  });

  test('no command is left out of these', () => {
    const tried = new Set([...[...done, ...elsewhere].map(([args]) => args.split(' ')[0]), ...noJson]);
    assert.deepEqual(
      commandNames.filter((name) => !tried.has(name)),
      [],
    );
  });

  test('help that is asked for is text; of what is no command it is a failure like any other, with what was meant as its hint', async () => {
    for (const words of [
      'help --json',
      '--json help',
      'help builds --json',
      '--json builds -h',
      'help token create --json',
      'token help --json',
    ])
      assert.match((await runWith(words.split(' '))).stdout, /^Usage: croft /, words);
    for (const [words, hint] of [
      ['help nothing --json', undefined],
      ['help token nothing --json', undefined],
      ['--json bilds', 'Did you mean builds?'],
    ] as const) {
      const { status, stdout } = await runWith(words.split(' '));
      const { error } = oneValue(stdout, words) as { error: { message: string; hint?: string } };
      assert.deepEqual([status, error.hint], [2, hint], words);
      assert.match(error.message, /^unknown command '\w+'$/, words);
    }
  });
});
