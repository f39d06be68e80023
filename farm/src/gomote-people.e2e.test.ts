/** What people do with `gomote` beside running commands: keep and repeat builds, share and extend, interrupt, sign in. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SessionView } from '@croft/protocol/sessions';
import { HOUR, MINUTE, systemClock } from '@croft/runtime/clock';
import { endedBuild, onlyBuild } from './testing-builds.ts';
import { openPlace } from './testing-gomote.ts';
import { makeCertificate, missingOpenssl } from './testing-tls.ts';

process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'; // this process alone asks a farm whose certificate it does not know

const steps = [
  { name: 'prepare', argv: ['sh', '-c', 'echo prepared > prepared'] },
  { name: 'check', argv: ['sh', '-c', 'cat nowhere'] },
];
const failing = { builders: [{ name: 'ci', repo: 'app', steps, env: { FROM_BUILDER: 'it' } }] };

test('the machine of a failed build is kept and let go; another one is made like it, and says what failed', async () => {
  await using place = await openPlace(failing);
  const { farm, gomote, must } = place;
  const { id } = await onlyBuild(farm);
  await endedBuild(farm, id);
  const held = JSON.parse(await must(['hold', '--json', '-for', '2h', '-note', 'look at it', `b${id}`])) as SessionView;
  await farm.waitFor('its machine', async () => (await gomote(['ping', held.alias])).status === 0);
  assert.equal(await must(['run', held.alias, 'cat', 'prepared']), 'prepared\n');
  const [line] = (await must(['list'])).split('\n');
  assert.match(line ?? '', /\tci\t.*\texpires in (?:1h59m|2h0m).*\tlook at it$/);
  assert.equal((JSON.parse(await must(['unhold', '--json', id])) as SessionView).alias, held.alias);

  const repro = await gomote(['repro', '-note', 'once more', '-new-group', 'again', '-public', id]);
  const name = repro.stdout.trim();
  assert.equal(await must(['group', 'list']), `Name\tInstances\nagain\t${name}\n`);
  assert.equal(repro.status, 0, repro.stderr);
  assert.match(repro.stderr, new RegExp(`# the step that failed: gomote run ${name} sh -c 'cat nowhere'`));
  assert.equal(await must(['run', name, 'sh', '-c', 'cat prepared; echo $FROM_BUILDER']), 'prepared\nit\n');
  assert.equal((await gomote(['run', name, 'sh', '-c', 'cat nowhere'])).status, 1);
  await must(['-group', 'again', 'destroy', '-destroy-group']);
  const { sessions } = JSON.parse(await must(['repro', '--json', '-count', '1', '-status=false', id])) as { sessions: SessionView[] };
  assert.deepEqual(
    sessions.map(({ builder, state }) => [builder, state]),
    [['ci', 'active']],
  );
});

test('a session is extended, shared and noted, and each command tells one JSON value where that is asked for', async () => {
  await using place = await openPlace();
  const { farm, repo, home, gomote, must } = place;
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await must(['--json', ...args], { cwd: repo.dir })) as T;
  assert.deepEqual(await json('create', '-list'), { builders: ['ci', 'other'] });
  const made = await gomote(['create', '--json', '-push', '.', '-run', 'cat greeting.txt; exit 4', 'ci'], { cwd: repo.dir });
  assert.equal(made.status, 4, made.stderr);
  assert.match(made.stderr, /^hello$/m);
  const [{ alias, id }] = (JSON.parse(made.stdout) as { sessions: [SessionView] }).sessions;

  const changed = async (...args: string[]): Promise<SessionView | undefined> =>
    (await json<{ sessions: SessionView[] }>(...args)).sessions[0];
  const before = systemClock.now();
  const until = (await changed('extend', alias, '3h'))?.expiresAt ?? 0;
  assert.ok(Math.abs(until - before - 3 * HOUR) < MINUTE, String(until - before));
  const token = { name: 'bob', role: 'developer', repos: [], expiresInMs: HOUR };
  const { secret } = await farm.api<{ secret: string }>('POST', '/api/v1/tokens', token);
  const shared = await changed('share', alias, 'bob', 'eve', 'local');
  assert.deepEqual([shared?.sharedWith, shared?.strangers], [['bob', 'eve', 'local'], ['eve']]);
  assert.match(await (await fetch(`${farm.url}/sessions/${id}`)).text(), /nobody is called <bdi>eve<\/bdi> here yet/);
  assert.match(await must(['list'], { env: { CROFT_TOKEN: secret } }), new RegExp(`^${alias}\\t`), 'it is bob’s to use');
  assert.deepEqual((await changed('share', alias, '-'))?.sharedWith, []);
  assert.equal((await changed('note', alias, 'until', 'noon'))?.note, 'until noon');
  assert.match(await must(['list']), /\tuntil noon$/m);

  const ping = await json<{ instances: { instance: string; alive: boolean; workDir?: string }[] }>('ping', '-status', alias);
  assert.deepEqual([ping.instances[0]?.alive, typeof ping.instances[0]?.workDir], [true, 'string']);
  assert.ok(Array.isArray((await json<{ entries: unknown[] }>('ls', alias)).entries));
  await must(['group', 'create', 'mine']);
  await must(['--group', 'mine', 'group', 'add', alias]);
  assert.match(JSON.stringify(await json('group', 'list')), new RegExp(`mine.*${alias}|${id}`));

  const collected = await gomote(['run', '-debug', '-collect', alias, 'sh', '-c', 'echo out; printf "%s" "$FROM_BUILDER"']);
  assert.equal(collected.status, 0, collected.stderr);
  assert.match(collected.stderr, /^# sh -c [^]*^# FROM_BUILDER=a b"\$c$/m);
  assert.equal(await readFile(join(home, `${alias}.stdout`), 'utf8'), 'out\na b"$c');
  assert.equal((await readFile(join(home, `${alias}.tar.gz`))).subarray(0, 2).toString('hex'), '1f8b');
  assert.equal((await changed('destroy', alias))?.alias, alias);
});

test('the first Ctrl-C interrupts a command, the second kills it; who follows one that was left running hands it on, too', async () => {
  await using place = await openPlace();
  const { gomote, must } = place;
  await must(['create', 'ci']);
  const script = 'trap "echo interrupted" INT; echo begun; while :; do sleep 0.1; done';
  let child: ChildProcess | undefined;
  let said = '';
  const onStart = (started: ChildProcess): void => {
    child = started;
    said = '';
  };
  const onOutput = (text: string): void => {
    const fresh = text.slice(said.length);
    said = text;
    if (/begun|interrupted/.test(fresh)) child?.kill('SIGINT');
  };
  const killed = await gomote(['run', 'local-ci-0', 'sh', '-c', script], { onStart, onOutput });
  assert.match(killed.stdout, /^begun\ninterrupted\n/);
  assert.equal(killed.status, 137, killed.stderr);

  const detached = (await must(['run', '-detach', 'local-ci-0', 'sh', '-c', 'echo begun; exec sleep 600'])).trim();
  const followed = await gomote(['attach', 'local-ci-0', detached], { onStart, onOutput });
  assert.equal(followed.status, 130, followed.stderr);
  assert.match(followed.stderr, /the command was killed by SIGINT/);
});

test('a third Ctrl-C leaves at once, whatever the farm and the command do', async () => {
  await using place = await openPlace();
  const { farm, gomote, must } = place;
  await must(['create', 'ci']);
  const onStart = (child: ChildProcess): void => {
    let said = '';
    child.stdout?.once('data', () => {
      process.kill(farm.pid, 'SIGSTOP'); // so that nothing of the first two arrives
      child.kill('SIGINT');
    });
    child.stderr?.on('data', (piece: Buffer) => {
      said += piece;
      if (/again (?:kills it|leaves at once)\n$/.test(said)) child.kill('SIGINT');
    });
  };
  try {
    const left = await gomote(['run', 'local-ci-0', 'sh', '-c', 'trap "" INT; echo begun; sleep 600'], { onStart });
    assert.equal(left.status, 130, left.stderr);
    assert.match(left.stderr, /Ctrl-C again kills it\n[^]*Ctrl-C again leaves at once\n[^]*interrupted/);
  } finally {
    process.kill(farm.pid, 'SIGCONT');
  }
  assert.match(await must(['list']), /^local-ci-0\t/, 'the session is still there');
});

test(
  'over TLS with an authority of one’s own, who signs in is known from then on, and a wrong token is told',
  { skip: missingOpenssl() },
  async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-gomote-tls-'));
    const tls = makeCertificate(dir.path);
    await using place = await openPlace({ tls });
    const { farm, home, gomote, must } = place;
    const wish = { name: 'ann', role: 'developer', repos: [], expiresInMs: HOUR };
    const { secret } = await farm.api<{ secret: string }>('POST', '/api/v1/tokens', wish);
    const stranger = await gomote(['list'], { env: { CROFT_TOKEN: secret } });
    assert.equal(stranger.status, 3);
    assert.match(stranger.stderr, /self[- ]signed certificate/i);

    const env = { NODE_EXTRA_CA_CERTS: tls.certFile, CROFT_SERVER: '' };
    const wrong = await gomote(['login', farm.url], { env, stdin: 'croft_wrong\n' });
    assert.notEqual(wrong.status, 0);
    assert.match(wrong.stderr, /token/);
    assert.match((await gomote(['login', farm.url], { env, stdin: `${secret}\n` })).stderr, /^ann at https:/);
    const { name, role } = JSON.parse(await must(['login', '--json', farm.url], { env, stdin: secret })) as Record<string, string>;
    assert.deepEqual([name, role], ['ann', 'developer']);
    assert.equal(await must(['create', 'ci'], { env }), 'ann-ci-0\n');
    await writeFile(join(home, 'file'), 'over TLS\n');
    await must(['put', 'ann-ci-0', 'file'], { env });
    assert.equal(await must(['run', '-system', 'ann-ci-0', 'cat', 'file'], { env }), 'over TLS\n');
  },
);
