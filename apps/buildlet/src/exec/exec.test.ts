/** `POST /exec` on a real buildlet, to the byte where Go's programs look. buildlet.md 1.10 and part 6, row 7. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import type { TestBuildlet } from '@croft/buildlet/testing';
import { findGroupHome } from '../tree/groups.ts';
import { ask, isAlive, startMachine, until, type TestMachine } from '../testing.ts';

const formType = 'application/x-www-form-urlencoded';
type Fields = readonly (readonly [string, string])[];

const system = (script: string, ...rest: Fields): Fields => [
  ['cmd', '/bin/sh'],
  ['mode', 'sys'],
  ['cmdArg', '-c'],
  ['cmdArg', script],
  ...rest,
];

interface Executed {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly state: string | undefined;
}

async function open({ address }: TestBuildlet, fields: Fields, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const request = httpRequest({
    ...('socketPath' in address ? { socketPath: address.socketPath } : {}),
    method: 'POST',
    path: '/exec',
    headers: { 'Content-Type': formType, Authorization: authorization(address.password), ...headers },
    agent: false,
    signal: systemClock.deadline(60_000),
  });
  request.on('error', () => {}); // a cut answer is seen by its reader
  request.end(new URLSearchParams(fields.map(([name, value]) => [name, value])).toString());
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function exec(machine: TestMachine, fields: Fields, headers: Record<string, string> = {}): Promise<Executed> {
  const response = await open(machine.process, fields, headers);
  const body = await text(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body, state: response.trailers['process-state'] };
}

function authorization(password: string | undefined): string {
  return `Basic ${Buffer.from(`:${password}`).toString('base64')}`;
}

/** A raw connection with the request written. */
async function rawExec({ address }: TestBuildlet, fields: Fields, version = 'HTTP/1.1'): Promise<Socket> {
  const { socketPath: path = '' } = address as { socketPath?: string };
  const to = path === '' ? (address as { host: string; port: number }) : { path };
  const socket = connect({ ...to, allowHalfOpen: true });
  const body = new URLSearchParams(fields.map(([name, value]) => [name, value])).toString();
  const head = [
    `POST /exec ${version}`,
    'Host: localhost',
    `Authorization: ${authorization(address.password)}`,
    `Content-Type: ${formType}`,
  ];
  socket.write(`${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return socket;
}

test('the head, the chunks and the trailer are as Go sends them', async () => {
  await using machine = await startMachine();
  const socket = await rawExec(machine.process, system('echo hi; exit 3'));
  let seen = '';
  for await (const piece of socket as AsyncIterable<Buffer>) if ((seen += piece.toString()).includes('Process-State:')) break;
  assert.match(
    seen,
    /^HTTP\/1\.1 200 OK\r\nTrailer: Process-State\r\nDate: .*\r\n(?:Connection: keep-alive\r\n)?Transfer-Encoding: chunked\r\n\r\n3\r\nhi\n\r\n0\r\nProcess-State: exit status 3\r\n\r\n$/,
  );
  assert.ok(!/content-type/i.test(seen));
});

test('the head comes while the command runs, which says nothing', async () => {
  await using machine = await startMachine();
  const response = await open(machine.process, system('sleep 1000')); // its head alone
  assert.equal(response.statusCode, 200);
  response.on('error', () => {}).destroy();
});

test('commands one after the other share a kernel group, which is gone with its buildlet, or with the next one', async (context) => {
  const home = findGroupHome(`croft-exec-probe-${process.pid}`);
  if (!home) return context.skip('needs a cgroup hierarchy that this user may write to');
  const groupOf = async (machine: TestMachine): Promise<string> => {
    const { body } = await exec(machine, system('cat /proc/self/cgroup'));
    return join(home.own, /\/(croft-[0-9a-f]+-\+exec-\d+)$/m.exec(body)?.[1] ?? assert.fail(body));
  };
  let last;
  {
    await using machine = await startMachine();
    const first = await groupOf(machine);
    assert.equal(await groupOf(machine), first);
    await machine.process.kill9();
    assert.ok(existsSync(first));
    await machine.process.restart();
    assert.ok(!existsSync(first));
    last = await groupOf(machine);
  }
  assert.ok(!existsSync(last));
});

test('stdout and stderr are one pipe, the input is empty, and arguments keep their order and bytes', async () => {
  await using machine = await startMachine();
  const { body, state } = await exec(machine, [
    ...system('for i in 1 2 3; do echo out $i; echo err $i >&2; done; cat; printf "%s|" "$0" "$@"; echo x > /dev/stderr'),
    ['cmdArg', 'a b'],
    ['cmdArg', ''],
    ['cmdArg', 'é"\\'],
  ]);
  assert.equal(body, 'out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\na b||é"\\|x\n');
  assert.equal(state, 'ok');
});

test('the checks come in their order, with the texts that tools match on', async () => {
  await using machine = await startMachine();
  assert.deepEqual(await refusal(machine, { method: 'GET' }), [400, 'requires POST method\n', undefined]);
  assert.deepEqual(await refusal(machine, { method: 'PUT' }), [400, 'requires POST method\n', undefined]);
  const none = "invalid 'cmd' parameter: requires 'cmd' parameter\n";
  assert.deepEqual(await refusal(machine, { method: 'POST' }), [400, none, 'Process-State']);
  const { status, body, headers, state } = await exec(machine, [['cmd', 'no-such-command']]);
  assert.deepEqual([status, body, state], [422, `invalid 'cmd' parameter: command "no-such-command" not found\n`, undefined]);
  assert.deepEqual([headers['transfer-encoding'], headers['content-type']], ['chunked', 'text/plain; charset=utf-8']);
  assert.equal(
    (
      await exec(machine, [
        ['cmd', '/bin/true'],
        ['dir', '../x'],
      ])
    ).status,
    400,
  );
  assert.match(
    (
      await exec(machine, [
        ['cmd', '/bin/true'],
        ['env', 'CROFT_COOKIE=x'],
      ])
    ).body,
    /set by the farm alone/,
  );

  const old = await rawExec(machine.process, system('true'), 'HTTP/1.0');
  assert.match(await text(old), /^HTTP\/1\.1 400 [^]*\r\n\r\nHTTP\/1\.1 or higher required\n$/);
});

async function refusal(machine: TestMachine, { method }: { method: string }): Promise<unknown[]> {
  const { status, body, headers } = await ask(machine.process, { method, path: '/exec' });
  return [status, body, headers.trailer];
}

test('commands lie in the work directory, in the PATH of the buildlet, or anywhere by their path', async () => {
  await using machine = await startMachine();
  const { workDir } = machine.process;
  await mkdir(join(workDir, 'go/bin'), { recursive: true });
  await writeFile(join(workDir, 'go/bin/tool'), '#!/bin/sh\npwd; echo "$0"; echo $PWD\n', { mode: 0o755 });
  const tool = await exec(machine, [['cmd', 'go/bin/tool']]);
  assert.equal(tool.body, `${workDir}/go/bin\n${workDir}/go/bin/tool\n${workDir}/go/bin\n`);
  assert.equal(
    (
      await exec(machine, [
        ['cmd', 'go/bin/tool'],
        ['dir', 'go'],
      ])
    ).body.split('\n')[0],
    `${workDir}/go`,
  );
  const fields: Fields = [
    ['cmd', 'sh'],
    ['mode', 'sys'],
    ['cmdArg', '-c'],
    ['cmdArg', 'pwd; echo "$0"'],
  ];
  assert.match((await exec(machine, fields)).body, new RegExp(`^${workDir}\n.*/sh\n$`));
  assert.equal((await exec(machine, [...fields, ['dir', '/']])).body.split('\n')[0], '/');
});

test('the environment is the allow-listed one, the request, and what is forced', async () => {
  await using machine = await startMachine({ env: { LC_ALL: 'C', SECRET: 's', GOROOT_BOOTSTRAP: '/opt/boot' } });
  const { workDir } = machine.process;
  const fields = system(
    '/usr/bin/env',
    ['env', 'A=1'],
    ['env', 'A=2'],
    ['env', 'TMPDIR=/elsewhere'],
    ['path', '$EMPTY/x'],
    ['path', '$WORKDIR'],
  );
  const { body } = await exec(machine, fields);
  const env = new Map(body.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const names = ['A', 'LC_ALL', 'SECRET', 'WORKDIR', 'GOROOT_BOOTSTRAP', 'TMPDIR', 'GOCACHE', 'GOPLSCACHE', 'PWD'];
  assert.deepEqual(
    names.map((name) => env.get(name)),
    ['2', 'C', undefined, workDir, '/opt/boot', `${workDir}/tmp`, `${workDir}/gocache`, `${workDir}/goplscache`, workDir],
  );
  assert.equal((await exec(machine, system('/bin/ls', ['path', '/x'], ['path', '$WORKDIR']))).body, 'gocache\ngoplscache\ntmp\n');
  assert.equal((await exec(machine, system('echo "[$PATH]"', ['path', '$EMPTY']))).body, '[]\n');
});

test('the debug line comes first', async () => {
  await using machine = await startMachine();
  const { body } = await exec(machine, [
    ['cmd', '/bin/echo'],
    ['cmdArg', 'a "b"'],
    ['env', 'X=1\n'],
    ['debug', 'T'],
    ['dir', '/tmp'],
  ]);
  assert.match(
    body,
    /^:: Running \/bin\/echo with args \["\/bin\/echo" "a \\"b\\""\] and env \[".*" "X=1\\n" "TMPDIR=.*" "PWD=\/tmp"\] in dir \/tmp\n\na "b"\n$/,
  );
  assert.ok(!body.includes('CROFT_'));
});

test('every end has its words', async () => {
  await using machine = await startMachine();
  const { workDir } = machine.process;
  const state = async (fields: Fields): Promise<string | undefined> => (await exec(machine, fields)).state;
  assert.equal(await state(system('exit 0')), 'ok');
  assert.equal(await state(system('exit 255')), 'exit status 255');
  assert.equal(await state(system('kill -9 $$')), 'signal: killed');
  assert.equal(await state(system('kill -15 $$')), 'signal: terminated');
  assert.equal(await state([['cmd', 'none/x']]), `chdir ${workDir}/none: no such file or directory`);
  assert.equal(
    await state([
      ['cmd', 'none/x'],
      ['dir', '.'],
    ]),
    `fork/exec ${workDir}/none/x: no such file or directory`,
  );
  assert.equal(await state(system('true', ['dir', 'missing'])), `chdir ${workDir}/missing: no such file or directory`);
  await writeFile(join(workDir, 'plain'), 'x');
  await chmod(join(workDir, 'plain'), 0o644);
  assert.equal(await state([['cmd', './plain']]), `fork/exec ${workDir}/plain: permission denied`);
  assert.equal(await state(system('true', ['dir', 'plain'])), 'fork/exec /bin/sh: not a directory');
  assert.equal(
    await state([
      ['cmd', '/bin/echo'],
      ['cmdArg', 'a\0b'],
    ]),
    'fork/exec /bin/echo: invalid argument',
  );
  assert.equal(
    await state([
      ['cmd', '/no\n/é'],
      ['dir', '/'],
    ]),
    Buffer.from('fork/exec /no /é: no such file or directory').toString('latin1'),
  );
});

test('a child in the background that holds the pipe is killed at the end, which does not wait for it', async () => {
  await using machine = await startMachine();
  const startedAt = systemClock.monotonic();
  const { body, state } = await exec(machine, system('sleep 1000 & echo $!; exit 4'));
  assert.ok(systemClock.monotonic() - startedAt < 20_000);
  assert.equal(state, 'exit status 4');
  assert.ok(!isAlive(Number(body)));
});

for (const how of ['closes its half', 'closes', 'resets'] as const) {
  test(`the whole tree is killed when the reader ${how}, and no end is told`, { timeout: 20_000 }, async () => {
    await using machine = await startMachine({ listen: '127.0.0.1:0' });
    const socket = await rawExec(machine.process, system('setsid sleep 1000 & echo pids $! $$; wait'));
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    let seen = '';
    const pids = await new Promise<number[]>((resolve) => {
      socket.on('data', (piece: Buffer) => {
        const match = /pids (\d+) (\d+)/.exec((seen += piece.toString()));
        if (match) resolve([Number(match[1]), Number(match[2])]);
      });
    });
    if (how === 'closes its half') socket.end();
    else if (how === 'closes') socket.destroy();
    else socket.resetAndDestroy();
    await until('the tree is dead', () => !pids.some(isAlive));
    await closed;
    assert.ok(!seen.includes('Process-State:'));
  });
}

test('a newer lease kills what an older one had started, and its reader is told of no end', async () => {
  await using machine = await startMachine();
  const response = await open(machine.process, system('echo $$; exec sleep 1000'), { 'Croft-Epoch': '3' });
  const [first] = (await once(response, 'data')) as [Buffer];
  const cut = once(response, 'error');
  assert.equal((await exec(machine, system('true'), { 'Croft-Epoch': '4' })).state, 'ok');
  await cut;
  assert.ok(!isAlive(Number(first)));
  assert.equal(response.trailers['process-state'], undefined);
  assert.equal((await exec(machine, system('true'), { 'Croft-Epoch': '3' })).status, 412);
});

test('a buildlet that is halted cuts what runs', async () => {
  await using machine = await startMachine();
  const response = await open(machine.process, system('echo $$; exec sleep 1000'));
  const [first] = (await once(response, 'data')) as [Buffer];
  const cut = once(response, 'error');
  assert.equal((await ask(machine.process, { method: 'POST', path: '/halt' })).status, 200);
  await cut;
  assert.ok(!isAlive(Number(first)));
});

test('a command waits while its reader does, in memory that does not grow', async () => {
  await using machine = await startMachine();
  const rss = async (): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${machine.process.pid}/status`, 'utf8'))?.[1]) * 1024;
  const response = await open(machine.process, system('head -c 300000000 /dev/zero & echo $! > writer; wait; echo > done'));
  const before = await rss();
  response.pause();
  const writer = await until('it has begun', async () => {
    const pid = await readFile(join(machine.process.workDir, 'writer'), 'utf8').catch(() => '');
    return pid !== '' && Number(pid);
  });
  let written = -1;
  await until('its writer stands still', async () => {
    const last = written;
    written = Number(/wchar: (\d+)/.exec(await readFile(`/proc/${writer}/io`, 'utf8'))?.[1]);
    return written > 0 && written === last && /\) S /.test(await readFile(`/proc/${writer}/stat`, 'latin1'));
  });
  assert.ok((await rss()) - before < 40_000_000, `${before} ${await rss()}`);
  assert.ok(!(await readFile(join(machine.process.workDir, 'done')).catch(() => undefined)), 'it did not wait');
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) bytes += piece.length;
  assert.equal(bytes, 300_000_000);
  assert.equal(response.trailers['process-state'], 'ok');
});

test('many at once do not wait for each other', async () => {
  await using machine = await startMachine();
  const ended = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => exec(machine, system(`sleep 0.2; echo ${index}; exit ${index}`))),
  );
  for (const [index, { body, state }] of ended.entries()) {
    assert.deepEqual([body, state], [`${index}\n`, index === 0 ? 'ok' : `exit status ${index}`]);
  }
});

test('hostile forms end their own request', async () => {
  await using machine = await startMachine();
  const many = await exec(machine, [...system('echo $#'), ...Array.from({ length: 10_000 }, (): [string, string] => ['cmdArg', 'x'])]);
  assert.deepEqual([many.body, many.state], ['9999\n', 'ok']);
  const long = await exec(machine, [
    ['cmd', '/bin/true'],
    ['cmdArg', 'x'.repeat(4_000_000)],
  ]);
  assert.equal(long.state, 'fork/exec /bin/true: argument list too long');
  const huge = await ask(machine.process, {
    method: 'POST',
    path: '/exec',
    headers: { 'Content-Type': formType },
    body: `cmd=/bin/true&x=${'y'.repeat(11 * 1024 * 1024)}`,
  });
  assert.equal(huge.status, 413);
  const slow = await rawExec(machine.process, []);
  slow.destroy();
  assert.equal((await exec(machine, system('true'))).state, 'ok');
});
