/** The door as the stock client of OpenSSH sees it. gomote-ssh.md 8, acceptance 9 to 11. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import ssh2, { type ClientChannel, type ExecOptions } from 'ssh2';
import { fakeSession } from '../sessions/testing.ts';
import { signSshKey } from './certificates.ts';
import { host, openDoorStage, type DoorStage } from './testing-door.ts';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';

const inst = `ann-linux-0@${host}`;

test('a command has its own standard error, input to its end, and its true exit status', async () => {
  await using stage = await openDoorStage();
  const script = 'cat; echo to stderr >&2; exit 7';
  assert.deepEqual(await stage.ssh([inst, script], { input: 'to stdin\n' }), { code: 7, stdout: 'to stdin\n', stderr: 'to stderr\n' });
  assert.equal((await stage.ssh([inst, 'kill -TERM $$'])).code, 255, 'as OpenSSH shows a signal');
  await nothingRuns(stage);
  const counted = await stage.metrics.text();
  for (const line of ['logins_total{result="accepted",method="key"} 2', 'channels_total{kind="command"} 2', 'connections{of="guests"} 0'])
    assert.ok(counted.includes(`\ncroft_ssh_${line}\n`), line);
  assert.match(counted, /^croft_ssh_bytes_total\{direction="sent"\} [1-9]\d\d\d/m);
});

test('where its port is taken it is refused with what to do, or opens at another one', async () => {
  await using stage = await openDoorStage();
  await assert.rejects(stage.another(false), {
    message: new RegExp(`listen for SSH at ${host}:${stage.port}`),
    hint: 'Set ssh.port to another port.',
  });
  await using other = await stage.another(true);
  assert.notEqual(other.port, stage.port);
});

test('a command gets the session’s environment and of the client’s only how things are written', async () => {
  await using stage = await openDoorStage({ env: { CI: 'true', ODD: 'a "b" $c\nd' } });
  const sent = ['-o', 'SetEnv=LC_ALL=C.UTF-8 LD_PRELOAD=/evil CI=false'];
  const { stdout } = await stage.ssh([...sent, inst, 'printf "%s|" "$LC_ALL" "$LD_PRELOAD" "$CI" "$ODD" "$PWD"']);
  assert.equal(stdout, `C.UTF-8||true|a "b" $c\nd|${stage.workDir}|`);
});

test('a command with a terminal has one, of the client’s kind, and of the usual size where the client has none', async () => {
  await using stage = await openDoorStage();
  const { stdout, code } = await stage.ssh(['-tt', inst, 'test -t 0 && test -t 1 && test -t 2 && echo "$TERM" && stty size; exit 3']);
  assert.deepEqual([stdout.trim().split('\r\n'), code], [[process.env['TERM'] ?? 'dumb', '24 80'], 3]);
});

test('signals and sizes that come while a command is being started reach it', async () => {
  await using stage = await openDoorStage();
  const client = new ssh2.Client().on('error', () => undefined); // the door may close first
  client.connect({ host, port: stage.port, username: 'ann-linux-0', privateKey: await readFile(stage.keyFile('ann')) });
  await once(client, 'ready');
  const begin = (line: string, options: ExecOptions): Promise<ClientChannel> =>
    new Promise((resolve, reject) => client.exec(line, options, (error, channel) => (error ? reject(error) : resolve(channel))));
  const signal = systemClock.deadline(30_000);
  const killed = await begin('sleep 60', {});
  killed.resume().signal('USR1');
  assert.deepEqual((await once(killed, 'exit', { signal })).slice(0, 2), [null, 'SIGUSR1']);
  const sized = await begin('until [ "$(stty size)" = "33 99" ]; do sleep 0.1; done; exit 3', { pty: { cols: 80, rows: 24 } });
  for (let rows = 25; rows <= 33; rows += 1) sized.setWindow(rows, 99, 0, 0);
  sized.resume();
  assert.equal((await once(sized, 'exit', { signal }))[0], 3);
  client.end();
});

test('many commands at once over one connection', async () => {
  await using stage = await openDoorStage();
  const socket = `${stage.dir}/mux`;
  const master = stage.start(['-M', '-S', socket, '-N', inst]);
  const shared = ['-o', 'ControlMaster=no', '-S', socket];
  try {
    for (let tries = 0; tries < 100 && (await stage.ssh([...shared, '-O', 'check', inst])).code !== 0; tries += 1)
      await systemClock.sleep(100);
    const all = Array.from({ length: 20 }, (_, at) => stage.ssh([...shared, inst, `echo ${at}; exit ${at}`]));
    assert.deepEqual(
      (await Promise.all(all)).map(({ stdout, code }) => [stdout, code]),
      all.map((_, at) => [`${at}\n`, at]),
    );
  } finally {
    master.kill();
  }
});

test('Unix sockets of the session: -L and -R, and none of the machine’s own', async () => {
  await using stage = await openDoorStage();
  const { dir, workDir } = stage;
  const listening = (path: string, said: string): Promise<Server> => {
    const server = createServer((socket) => socket.end(said)).listen({ path });
    return once(server, 'listening').then(() => server);
  };
  await using _theirs = await listening(`${workDir}/theirs`, 'of the machine');
  await using _mine = await listening(`${dir}/mine`, 'of the client');
  const forwards = ['-L', `${dir}/near:${workDir}/theirs`, '-L', `${dir}/etc:/etc/passwd`, '-R', `${workDir}/back:${dir}/mine`];
  const client = stage.start([...forwards, '-o', 'ExitOnForwardFailure=yes', inst, 'echo up; cat']);
  await once(client.stdout, 'data', { signal: systemClock.deadline(30_000) });
  assert.equal(await text(connect(`${dir}/near`)), 'of the machine');
  assert.equal(await text(connect(`${workDir}/back`)), 'of the client');
  assert.equal(await text(connect(`${dir}/etc`)).catch(() => ''), '');
  client.stdin.end();
  await once(client, 'close', { signal: systemClock.deadline(30_000) });
  const refused = await stage.ssh(['-R', `/etc/croft-test:${dir}/mine`, '-o', 'ExitOnForwardFailure=yes', inst, 'true']);
  assert.equal(refused.code, 255);
});

test('acceptance 10: who may not enter learns why, and gets nothing', async () => {
  await using stage = await openDoorStage();
  stage.sessions.put(fakeSession({ id: 'S00000000000000b2', alias: 'ann-marie-linux-0', owner: 'ann-marie' }));
  const told = async (name: string, person?: string): Promise<[number, string]> => {
    const { code, stderr, stdout } = await stage.ssh([`${name}@${host}`, 'echo in'], person === undefined ? {} : { person });
    assert.equal(stdout, '');
    return [code, stderr];
  };
  assert.deepEqual(await told('ann-linux-0', 'stranger'), [255, `ann-linux-0@${host}: Permission denied (publickey).\r\n`]);
  for (const name of ['ann-marie-linux-0', 'user-ann-marie-linux-0', 'mutable-user-ann-marie-linux-0']) {
    const [code, why] = await told(name);
    assert.equal(code, 255);
    assert.match(why, /^# session ann-marie-linux-0 is ann-marie's\r\n$/);
  }
  assert.match((await told('ann-linux-0', 'carl'))[1], /is ann's/);
  assert.match((await told('nothing-0'))[1], /there is no session "nothing-0"/);
  assert.match((await stage.ssh([`ann-linux-0+r-none@${host}`])).stderr, /there is no run r-none here/);
  assert.equal((await stage.ssh([inst, 'true'], { person: 'bob' })).code, 0, 'shared with');
  const audited = await stage.audited();
  assert.ok(audited.includes('unknown: ssh.login refused ann-linux-0'), audited.join('\n'));
  assert.ok(audited.includes('carl: ssh.login refused ann-linux-0'));
  assert.deepEqual(audited.slice(-2), ['bob: ssh.login ann-linux-0', 'bob: ssh.exec ann-linux-0: true']);
});

/** Ended runs are forgotten behind the client's back. */
async function nothingRuns({ buildlet }: DoorStage): Promise<void> {
  for (let tries = 0; tries < 100 && (await buildlet.runs({})).length > 0; tries += 1) await systemClock.sleep(50);
  assert.deepEqual(await buildlet.runs({}), []);
}

async function withCertificate(stage: DoorStage, certificate: string): Promise<string[]> {
  const file = `${stage.dir}/stranger-cert.pub`;
  await writeFile(file, `${certificate}\n`);
  return ['-o', `CertificateFile=${file}`];
}

test('acceptance 9: a certificate of the farm lets its holder in, and those of others nobody', async () => {
  await using stage = await openDoorStage();
  const publicKey = await readFile(`${stage.keyFile('stranger')}.pub`, 'utf8');
  const session = fakeSession();
  const { certificate } = stage.access.certify({ name: 'ann' }, session, publicKey);
  const good = await withCertificate(stage, certificate);
  assert.deepEqual(await stage.ssh([...good, inst, 'echo in'], { person: 'stranger' }), { code: 0, stdout: 'in\n', stderr: '' });
  stage.sessions.put(fakeSession({ id: 'S00000000000000b2', alias: 'ann-linux-1' }));
  assert.equal((await stage.ssh([...good, `ann-linux-1@${host}`, 'true'], { person: 'stranger' })).code, 255, 'another session');
  assert.equal((await stage.ssh([...good, inst, 'true'], { person: 'carl' })).code, 255, 'another key, of somebody who may not enter');

  const forged = signSshKey(
    publicKey,
    { person: 'ann', place: { session, host } },
    {
      authority: execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519'], { encoding: 'utf8' }),
      clock: systemClock,
      random: systemRandom,
    },
  );
  assert.equal(
    (await stage.ssh([...(await withCertificate(stage, forged)), inst, 'true'], { person: 'stranger' })).code,
    255,
    'another authority',
  );
});

test('a session that has ended lets nobody in, and who is in is shown out with the reason', async () => {
  await using stage = await openDoorStage();
  const running = stage.start([inst, 'echo begun; sleep 60']);
  const ended = new Promise<number | null>((resolve) => running.once('close', resolve));
  let told = '';
  running.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
  await new Promise((resolve) => running.stdout.once('data', resolve));
  stage.sessions.put(fakeSession({ state: 'ended', endReason: 'nobody used it' }));
  assert.equal(await ended, 255);
  assert.match(told, /# nobody used it/);
});

test('a command whose client says goodbye ends, one whose connection is lost goes on and is found by its name', async () => {
  await using stage = await openDoorStage();
  const begun = async (command: string): Promise<ReturnType<DoorStage['start']>> => {
    const client = stage.start([inst, command]);
    await new Promise((resolve) => client.stdout.once('data', resolve));
    return client;
  };
  const left = await begun('echo begun; sleep 60');
  left.kill('SIGINT'); // the client then says that it leaves
  await nothingRuns(stage);

  const lost = await begun('echo begun; read line; echo "got $line" >&2; exit 5');
  const gone = new Promise((resolve) => lost.once('close', resolve));
  lost.kill('SIGKILL');
  await gone;
  const [run] = await stage.buildlet.runs({});
  const name = run?.id.split('.')[1] ?? '';
  const found = await stage.ssh([`ann-linux-0+${name}@${host}`], { input: 'again\n' });
  assert.deepEqual(found, { code: 5, stdout: 'begun\n', stderr: 'got again\n' });
});

interface Terminal extends Disposable {
  shown(): string;
  until(text: string | RegExp): Promise<string>;
  type(text: string): void;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** A client with a terminal: its own input is none, so it is told the size by `stty` of the shell. */
function openTerminal(stage: DoorStage, user: string, person = 'ann'): Terminal {
  const client = stage.start(['-tt', `${user}@${host}`], person);
  let shown = '';
  const bells = new Set<() => void>();
  client.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    for (const bell of bells) bell();
  });
  const ended = new Promise<number | null>((resolve) => client.once('close', resolve));
  return {
    shown: () => shown,
    async until(text) {
      const deadline = systemClock.deadline(20_000);
      for (;;) {
        if (typeof text === 'string' ? shown.includes(text) : text.test(shown)) return shown;
        if (deadline.aborted) throw new Error(`${String(text)} never came: ${JSON.stringify(shown)}`);
        await new Promise<void>((resolve) => {
          const bell = (): void => {
            bells.delete(bell);
            resolve();
          };
          bells.add(bell);
          deadline.addEventListener('abort', bell, { once: true });
        });
      }
    },
    type: (text) => void client.stdin.write(text),
    ended,
    kill: (signal) => void client.kill(signal),
    [Symbol.dispose]: () => void client.kill('SIGKILL'),
  };
}

test('a shell begins with lines about itself, and is found again after a restart in the middle of a key', async () => {
  await using stage = await openDoorStage();
  using first = openTerminal(stage, 'ann-linux-0');
  await first.until(/^# Welcome, ann\. This is ann-linux-0 \(S00000000000000a1\) on local-1\.\r\n#   work directory: /);
  first.type('cd /; MARK=one; echo "mark=$MARK"\r');
  await first.until('mark=one');
  first.type('echo "still $MA');
  await first.until('still $MA');
  await stage.reopen();
  assert.equal(await first.ended, 255);

  using second = openTerminal(stage, 'ann-linux-0');
  await second.until('You are back in the shell that was lost');
  second.type('RK at $PWD"\r');
  await second.until('still one at /');
  second.type('exit 9\r');
  assert.equal(await second.ended, 9);
  await nothingRuns(stage);
});

test('others have shells of their own, and +new begins another one', async () => {
  await using stage = await openDoorStage();
  using one = openTerminal(stage, 'ann-linux-0');
  await one.until('work directory');
  using two = openTerminal(stage, 'ann-linux-0+new');
  await two.until('work directory');
  using other = openTerminal(stage, 'ann-linux-0', 'bob');
  await other.until('Welcome, bob');
  const ids = (await stage.buildlet.runs({})).map(({ id }) => id.slice(0, -8));
  assert.deepEqual([ids.length, new Set(ids).size], [3, 2]);
  one.kill('SIGTERM'); // says goodbye
  assert.equal(await one.ended, 255);
  for (let tries = 0; tries < 100 && (await stage.buildlet.runs({})).length > 2; tries += 1) await systemClock.sleep(50);
  assert.equal((await stage.buildlet.runs({})).length, 2);
});
