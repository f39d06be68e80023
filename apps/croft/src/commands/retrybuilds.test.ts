import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import type { Handler } from '@croft/web/listener';
import { openTestServer, runWith, type Ran, type TestServer } from '../testing.ts';
import { chosenAction } from './retrybuilds-choice.ts';
import { openFarm, parseFailures } from './retrybuilds-farm.ts';
import { flakyRuleOf, parseFlakyRules } from './retrybuilds-flaky.ts';
import { flakyRules } from './retrybuilds-rules.ts';

const [first, second, third] = ['a', 'b', 'c'].map((digit) => digit.repeat(40)) as [string, string, string];
const envelope = (error = ''): Response => Response.json({ Response: null, Error: error });
const realFailure = `${'ok\n'.repeat(30)}--- FAIL: TestMemory\n    out of memory budget\n`;

/** Three failures on the page: linux twice, plan9 once; the logs are `1`, `2` and `3`. */
async function openFailures(over: Record<string, Handler> = {}): Promise<TestServer> {
  const server: TestServer = await openTestServer({
    'GET /': () => {
      const at = (hash: string, builder: string, log: string): string => `${hash} ${builder} ${server.url}/log/${log}\n`;
      return new Response(`${at(first, 'linux', '1')}${at(second, 'linux', '2')}this is no failure\n${at(third, 'plan9', '3')}`);
    },
    'GET /log/1': () => new Response(realFailure),
    'GET /log/2': () => new Response(`building\nlinking\nwrite: no space left on device\n`),
    'GET /log/3': () => new Response('exit status 2\n'),
    'POST /clear-results': () => envelope(),
    ...over,
  });
  return server;
}

const token = ['--token', 'secret'];
const retry = (server: TestServer, ...args: string[]): Promise<Ran> => runWith(['retrybuilds', '--server', server.url, ...token, ...args]);
const cleared = ({ asked }: TestServer): string[] =>
  asked.filter((line) => line.startsWith('POST')).map((line) => line.split('?')[1] ?? '');
const wish = (builder: string, hash: string): string => `builder=${builder}&hash=${hash}`;

test('RET-2: exactly one choice counts, by precedence', () => {
  const all = { loghash: 'f4', substr: 'x', redoFlaky: true, builder: 'b', hash: 'h' };
  const { loghash: _1, ...noLog } = all;
  const { substr: _2, ...noText } = noLog;
  const { redoFlaky: _3, ...build } = noText;
  assert.deepEqual(
    [all, noLog, noText, build, { builder: 'b' }].map((given) => chosenAction(given).kind),
    ['loghash', 'substr', 'flaky', 'build', 'builder'],
  );
  assert.throws(() => chosenAction({ hash: 'h', builder: '' }), /nothing was chosen/);
});

describe('croft retrybuilds', () => {
  test('clears all failures of a builder, and no other', async () => {
    await using server = await openFailures();
    const ran = await retry(server, '--builder', 'linux');
    assert.deepEqual([ran.status, cleared(server)], [0, [wish('linux', first), wish('linux', second)]]);
    assert.equal(ran.stderr, 'wiped 2 matching failures\n');
    assert.match(ran.stdout, /^linux {2}aaaaaaaaaaaa {2}builder linux {2}http/);
  });

  test('finds the whole hash on the page, and needs no page for a whole one', async () => {
    await using server = await openFailures();
    await retry(server, '--builder', 'linux', '--hash', 'bbb');
    await retry(server, '--builder', 'any', '--hash', third);
    assert.deepEqual(cleared(server), [wish('linux', second), wish('any', third)]);
    assert.equal(server.asked.filter((line) => line.startsWith('GET /?')).length, 1);
    const { status, stderr } = await retry(server, '--builder', 'linux', '--hash', 'dd');
    assert.deepEqual([status, stderr.split('\n')[0]], [1, 'croft: no failure of a commit that begins with "dd" is on the page']);
  });

  test('chooses by the hash of a log, by a text in it, and limits the text to a builder', async () => {
    await using server = await openFailures();
    await retry(server, '--loghash', '3', '--builder', 'linux');
    await retry(server, '--substr', 'FAIL', '--redo-flaky');
    await retry(server, '--substr', 'exit', '--builder', 'linux');
    assert.deepEqual(cleared(server), [wish('plan9', third), wish('linux', first)]);
  });

  test('retries flakes, tells by which rule, and leaves a genuine failure that speaks of memory', async () => {
    await using server = await openFailures();
    const ran = await retry(server, '--redo-flaky', '--json');
    assert.deepEqual(cleared(server), [wish('linux', second), wish('plan9', third)]);
    const { failures, ...rest } = JSON.parse(ran.stdout) as { failures: { rule: string; builder: string }[] };
    assert.deepEqual(rest, { dryRun: false, wiped: 2 });
    assert.deepEqual(
      failures.map(({ builder, rule }) => `${builder} ${rule}`),
      ['linux disk-full', 'plan9 almost-empty'],
    );
  });

  test('a preview changes nothing; broad rules count when they are asked for', async () => {
    await using server = await openFailures();
    const ran = await retry(server, '--redo-flaky', '--broad', '--dry-run');
    assert.match(ran.stdout, /linux +a{12} +memory: there may have been too little memory +http/);
    assert.deepEqual([ran.stderr, cleared(server)], ['would have wiped 3 matching failures\n', []]);
  });

  test('rules come from a file instead, and what is printed is such a file', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'croft-rules-'));
    try {
      const file = join(dir, 'rules.json');
      await writeFile(file, JSON.stringify({ rules: [{ name: 'budget', why: 'ours', contains: ['budget', 'FAIL'] }] }));
      await using server = await openFailures();
      await retry(server, '--redo-flaky', '--rules', file);
      assert.deepEqual(cleared(server), [wish('linux', first)]);
      const printed = await runWith(['retrybuilds', '--print-rules']);
      assert.deepEqual(parseFlakyRules(printed.stdout, 'printed'), flakyRules);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('looks where it is told to: branch and repository', async () => {
    await using server = await openFailures();
    await retry(server, '--builder', 'plan9', '--branch', 'release', '--repo', 'net');
    assert.equal(server.asked[0], 'GET /?mode=failures&branch=release&repo=net');
    assert.deepEqual(cleared(server), [`${wish('plan9', third)}&packagePath=net`]);
  });

  test('shows a key that it makes from the master key, or the master key itself, and then no token', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'croft-keys-'));
    try {
      await writeFile(join(dir, 'master'), 'gophers rule\n');
      let authorization: string | null = null;
      const note: Handler = ({ headers }) => {
        authorization = headers.get('authorization');
        return envelope();
      };
      await using server = await openFailures({ 'POST /clear-results': note });
      const key = createHmac('md5', 'gophers rule').update('plan9').digest('hex');
      await retry(server, '--builder', 'plan9', '--masterkey', join(dir, 'master'));
      assert.equal(authorization, null);
      await retry(server, '--builder', 'plan9', '--masterkey', join(dir, 'master'), '--sendmaster');
      assert.deepEqual(cleared(server), [`${wish('plan9', third)}&key=${key}`, `${wish('plan9', third)}&key=gophers+rule`]);
      const missing = await retry(server, '--builder', 'plan9', '--key', join(dir, 'none'));
      assert.equal(missing.status, 2);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('RET-3: a log that cannot be fetched ends it before anything is cleared', async () => {
    await using server = await openFailures({ 'GET /log/2': () => new Response('gone', { status: 410 }) });
    const { status, stderr } = await retry(server, '--redo-flaky');
    assert.deepEqual([status, cleared(server)], [1, []]);
    assert.match(stderr, /fetching http:\S+\/log\/2: it was refused with 410: gone/);
  });

  test('RET-4: goes on trying while another change is in the way, ten times at most; other failures end it', async () => {
    let busy = 3;
    const busyFor = (): Response => envelope(busy-- > 0 ? 'datastore: concurrent transaction' : '');
    await using server = await openFailures({ 'POST /clear-results': busyFor });
    assert.equal((await retry(server, '--builder', 'plan9')).status, 0);
    assert.equal(cleared(server).length, 4);
    busy = 100;
    assert.match((await retry(server, '--builder', 'plan9')).stderr, /10 tries were in vain/);
    assert.equal(cleared(server).length, 14);
    await using refusing = await openFailures({ 'POST /clear-results': () => envelope('invalid key for builder "plan9"') });
    const refused = await retry(refusing, '--builder', 'plan9');
    assert.match(refused.stderr, /clearing plan9 c+: invalid key for builder "plan9"/);
    assert.deepEqual([refused.status, cleared(refusing).length], [1, 1]);
  });

  test('sends nothing secret in the clear, nor where it would have no use', async () => {
    const open = await runWith(['retrybuilds', '--server', 'http://farm.example', ...token, '--builder', 'x']);
    assert.match(open.stderr, /no key or token is sent to http:\/\/farm\.example/);
    const grpc = await runWith(['retrybuilds', '--server', 'http://127.0.0.1:1', ...token, '--builder', 'x', '--grpc-host', 'h:1']);
    assert.match(grpc.stderr, /no builder key to show/);
    let seen: string | null = 'not asked';
    await using elsewhere = await openTestServer({
      'GET /log/9': ({ headers }) => {
        seen = headers.get('authorization');
        return new Response('x\n');
      },
    });
    await using server = await openFailures({ 'GET /': () => new Response(`${first} linux ${elsewhere.url}/log/9\n`) });
    assert.equal((await retry(server, '--redo-flaky', '--dry-run')).stderr, 'would have wiped 1 matching failures\n');
    assert.equal(seen, null);
  });

  test('--staging means the farm that the environment names', async () => {
    await using server = await openFailures();
    const env = { CROFT_STAGING_SERVER: server.url };
    assert.equal((await runWith(['retrybuilds', '--staging', ...token, '--builder', 'plan9'], { env })).status, 0);
    assert.equal((await runWith(['retrybuilds', '--staging', '--builder', 'plan9'])).status, 2);
  });
});

test('RET-4: an answer that does not come in time is asked for again at once', async () => {
  await using server = await openFailures();
  let waited = 0;
  const clock = { ...systemClock, deadline: (ms: number) => (waited++ === 0 ? AbortSignal.abort() : systemClock.deadline(ms)) };
  const said: string[] = [];
  const onRetry = (why: string): void => void said.push(why);
  const farm = openFarm({
    prefix: server.url,
    token: 't',
    keyOf: undefined,
    grpcHost: undefined,
    repo: undefined,
    branch: 'b',
    clock,
    onRetry,
  });
  await farm.clear({ builder: 'linux', hash: first });
  assert.deepEqual(said, [`there was no answer in time about linux ${first}; trying again`]);
});

test('a log is judged by its beginning and its end when it is too long to keep', async () => {
  const middle = 'x'.repeat(1_000_000);
  const body = `exit status begin\n${middle.repeat(20)}no space left on device\n`;
  await using server = await openFailures({ 'GET /log/1': () => new Response(body) });
  const ran = await retry(server, '--substr', 'no space left', '--builder', 'linux', '--dry-run');
  assert.match(ran.stdout, /linux +a{12}/);
});

describe('RET-5', () => {
  const judged = (log: string, rules = flakyRules): string | undefined => flakyRuleOf(log, rules)?.name;
  const long = `${'line\n'.repeat(25)}`;

  test('what the originals take for a flake, a rule takes for one', () => {
    assert.equal(judged(''), 'almost-empty');
    assert.equal(judged('\n\none\ntwo\n\n\n'), 'almost-empty');
    assert.equal(judged(`exit status 1${long}`), 'exit-status-only');
    assert.equal(judged(`timed out after 20m${long}`), 'timed-out');
    assert.equal(judged(`Failed to schedule it${long}`), 'not-scheduled');
    assert.equal(judged(`${long}Failed to schedule "go_test:x"`), 'not-scheduled-later');
    assert.equal(judged(`a\nb\nc\nerror: exit status 1\n`), 'short-with-status');
    assert.equal(judged(`${long}error: exit status 1\n`), undefined);
    assert.equal(judged(`${long}fatal: destination path 'x' already exists and is not an empty directory.\n`), 'source-in-the-way');
    assert.equal(judged(`${long}fatal: destination path 'x' is odd\n`), undefined);
    assert.equal(judged(`${long}/compile: exit status 1\n`), 'tool-failed');
    assert.equal(judged(realFailure), 'memory');
    assert.equal(
      judged(
        realFailure,
        flakyRules.filter(({ broad }) => !broad),
      ),
      undefined,
    );
  });

  test('each text of each rule is enough for it', () => {
    for (const rule of flakyRules) {
      for (const text of rule.containsAny ?? []) assert.equal(flakyRuleOf(`${long}${text}\n`, [rule])?.name, rule.name, text);
    }
  });

  test('a file with a mistake is refused with its place', () => {
    const mistakes: [string, RegExp][] = [
      ['{', /f\.json: it is not JSON/],
      ['null', /f\.json: there is no list "rules"/],
      ['{"rules":[{"name":"a","why":"b"}]}', /rule 1: it matches everything/],
      ['{"rules":[{"name":"a","why":"b","contain":["x"]}]}', /rule 1: "contain" is not known; there are: name/],
      ['{"rules":[{"name":"a","why":"b","contains":[]}]}', /rule 1: "contains" is to be a list of texts/],
      ['{"rules":[{"name":"a","why":"b","startsWith":"x"},{"why":"b","startsWith":"x"}]}', /rule 2: it needs "name" and "why"/],
    ];
    for (const [text, message] of mistakes) assert.throws(() => parseFlakyRules(text, 'f.json'), message);
  });
});

test('a line of the page counts when it has three fields', () => {
  assert.deepEqual(parseFailures('a b c\n\na b\r\na b c d\n  x  y\tz \r\n'), [
    { hash: 'a', builder: 'b', log: 'c' },
    { hash: 'x', builder: 'y', log: 'z' },
  ]);
});
