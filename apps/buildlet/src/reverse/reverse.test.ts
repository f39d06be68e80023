/** A buildlet that dials its coordinator, which comes, goes, lies and falls silent. buildlet.md 1.15, 2.2, 2.4; docs/protocols/revdial.md. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createBuildlet, type RunningBuildlet } from '../buildlet.ts';
import { readConfig } from '../config.ts';
import { endOf, outputMatching, runId, shell, spec, until } from '../testing.ts';
import { lacksOpenssl, selfSigned, type Pair } from '../testing-tls.ts';
import { startCoordinator } from './testing-coordinator.ts';

interface Worker extends AsyncDisposable {
  readonly buildlet: RunningBuildlet;
  readonly logged: string[];
}

const type = 'host-linux-test';
const publicKey = 'ff2a61a8962c12bee8a9e10e8ee37371';

async function startWorker(port: number, pair: Pair, flags: readonly string[] = []): Promise<Worker> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-reverse-')));
  await writeFile(join(dir, 'ca.pem'), pair.cert);
  await writeFile(join(dir, 'key'), 'machine-key\n', { mode: 0o600 });
  const places = [`-workdir=${join(dir, 'work')}`, `--state-dir=${join(dir, 'state')}`, `--coordinator-ca=${join(dir, 'ca.pem')}`];
  const who = [
    `-coordinator=localhost:${port}`,
    `-reverse-type=${type}`,
    '-hostname=worker-1',
    `--key-file=${join(dir, 'key')}`,
    '--low-water=0',
  ];
  const config = await readConfig([...places, ...who, ...flags], { PATH: process.env['PATH'] }, { clock: systemClock });
  const logged: string[] = [];
  const note = (message: string, fields?: object): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log = { ...silentLog, info: note, warn: note, error: note };
  const deps = { clock: systemClock, random: systemRandom, log, environment: { PATH: process.env['PATH'] } };
  const buildlet = stack.use(await createBuildlet(config, deps));
  const owned = stack.move();
  return { buildlet, logged, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe('in reverse mode', { skip: lacksOpenssl() }, () => {
  let pair: Pair;
  before(() => {
    pair = selfSigned();
  });

  test('it registers with the bytes of Go’s buildlet and its boot, and is driven over connections that it fetches', async () => {
    await using coordinator = await startCoordinator({ pair });
    await using _worker = await startWorker(coordinator.port, pair);
    const { head, client, told } = await coordinator.nextLine();
    const [, boot] = /\r\nCroft-Boot: ([0-9a-f]{16})$/.exec(head) ?? [];
    assert.equal(
      head,
      [
        'GET /reverse HTTP/1.1',
        'Host: ',
        'User-Agent: Go-http-client/1.1',
        'X-Go-Builder-Hostname: worker-1',
        'X-Go-Builder-Key: machine-key',
        'X-Go-Builder-Version: 27',
        `X-Go-Host-Type: ${type}`,
        'X-Revdial-Version: 2',
        `Croft-Boot: ${boot}`,
      ].join('\r\n'),
    );
    await using owned = client;
    assert.equal((await owned.status({})).Croft?.boot, boot);
    await owned.startOrAttach(runId('a'), shell('exit 3'), 1, {});
    assert.deepEqual((await endOf(owned, 'a')).exit, { kind: 'exited', code: 3 });
    await until('it told its status', () => told.length > 0);
    assert.equal((told[0] as { boot: string }).boot, boot);
  });

  test('Go’s coordinator, which answers HTTP/0.0, is served, too', async () => {
    await using coordinator = await startCoordinator({ pair, peer: 'go' });
    await using worker = await startWorker(coordinator.port, pair);
    const { client, told } = await coordinator.nextLine();
    await using owned = client;
    assert.equal((await owned.status({})).Version, 27);
    assert.deepEqual(told, []);
    assert.ok(worker.logged.some((line) => /opened.*"peer":"go"/.test(line)));
  });

  test('a restart of the coordinator is survived with the running command, and nothing is wiped', async () => {
    const first = await startCoordinator({ pair });
    const { port } = first;
    await using _worker = await startWorker(port, pair);
    const before = await first.nextLine();
    const { Croft: told } = await before.client.status({});
    await before.client.startOrAttach(runId('a'), shell('echo begun; until [ -e go ]; do sleep 0.02; done; echo done'), 1, {});
    await outputMatching(before.client, 'a', /begun/);
    await before.client[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();

    await using second = await startCoordinator({ pair, port });
    const { client } = await second.nextLine();
    await using owned = client;
    const { Croft: again } = await owned.status({});
    assert.deepEqual([again?.boot, again?.runs], [told?.boot, 1]);
    await owned.startOrAttach(runId('go'), spec(['touch', 'go']), 2, {});
    assert.deepEqual((await endOf(owned, 'a')).exit, { kind: 'exited', code: 0 });
    await outputMatching(owned, 'a', /^begun\ndone\n$/);
  });

  test('a line on which nonsense comes is given up, and another one dialled', async () => {
    await using coordinator = await startCoordinator({ pair });
    await using worker = await startWorker(coordinator.port, pair);
    const { socket, client } = await coordinator.nextLine();
    await client[Symbol.asyncDispose]();
    socket.write('\u0000nonsense\n');
    const again = await coordinator.nextLine();
    await using owned = again.client;
    assert.equal((await owned.status({})).Version, 27);
    assert.ok(worker.logged.some((line) => line.startsWith('line to the coordinator lost') && line.includes('not JSON')));
  });

  test('it follows one redirect on the same connection, and not two', async () => {
    const redirect = (path: string): string => `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${path}\r\nContent-Length: 2\r\n\r\nno`;
    await using moved = await startCoordinator({
      pair,
      answer: (head) => (head.startsWith('GET /reverse ') ? redirect('/site/reverse') : undefined),
    });
    await using _worker = await startWorker(moved.port, pair);
    const { head, client } = await moved.nextLine();
    assert.match(head, /^GET \/site\/reverse HTTP/);
    await client[Symbol.asyncDispose]();
    await using always = await startCoordinator({ pair, answer: () => redirect('/again') });
    await using other = await startWorker(always.port, pair, ['--reconnect=false']);
    await assert.rejects(other.buildlet.finished, /too many redirects/);
  });

  test('what a coordinator says when it refuses is told, and no key with it', async () => {
    for (const [answer, told] of [
      [
        'HTTP/1.1 412 Precondition Failed\r\nContent-Length: 18\r\n\r\ninvalid build key\n',
        /got 412 Precondition Failed:\n\tinvalid build key/,
      ],
      [`HTTP/1.1 400 ${'x'.repeat(40_000)}`, /a head without end/],
      ['SSH-2.0-OpenSSH\r\n\r\n', /not HTTP/],
      ['', /ended before an answer/],
    ] as const) {
      await using coordinator = await startCoordinator({ pair, answer: () => answer });
      await using worker = await startWorker(coordinator.port, pair, ['--reconnect=false']);
      await assert.rejects(worker.buildlet.finished, told);
      assert.ok(!worker.logged.join().includes('machine-key'));
    }
  });

  test('a coordinator with another certificate is not told the key', async () => {
    for (const [theirs, told] of [
      [selfSigned(), /self-signed certificate|signature/],
      [selfSigned('DNS:elsewhere.example'), /self-signed certificate|signature/],
    ] as const) {
      await using coordinator = await startCoordinator({ pair: theirs });
      await using worker = await startWorker(coordinator.port, pair, ['--reconnect=false']);
      await assert.rejects(worker.buildlet.finished, told);
      assert.deepEqual(coordinator.heads, []);
    }
    const elsewhere = selfSigned('DNS:elsewhere.example');
    await using named = await startCoordinator({ pair: elsewhere });
    await using worker = await startWorker(named.port, elsewhere, ['--reconnect=false']);
    await assert.rejects(worker.buildlet.finished, /does not match certificate's altnames/);
    assert.deepEqual(named.heads, []);
  });

  test('on loopback anybody is taken for the coordinator where that was asked for, and shown the key that everybody knows', async () => {
    await using coordinator = await startCoordinator({ pair: selfSigned('DNS:elsewhere.example') });
    await using place = await mkdtempDisposable(join(tmpdir(), 'croft-reverse-'));
    const dir = place.path;
    const flags = [
      `-workdir=${dir}/work`,
      `-coordinator=127.0.0.1:${coordinator.port}`,
      `-reverse-type=${type}`,
      '--insecure-dev',
      '--low-water=0',
    ];
    const config = await readConfig(flags, { HOSTNAME: 'of-the-environment' }, { clock: systemClock });
    const deps = { clock: systemClock, random: systemRandom, log: silentLog, environment: { PATH: process.env['PATH'] } };
    await using _buildlet = await createBuildlet(config, deps);
    const { head, client } = await coordinator.nextLine();
    assert.ok(head.includes(`\r\nX-Go-Builder-Key: ${publicKey}\r\n`));
    assert.ok(head.includes('\r\nX-Go-Builder-Hostname: of-the-environment\r\n'));
    await client[Symbol.asyncDispose]();
  });

  test('a shell’s bytes go both ways over a connection of its own, early ones too', async () => {
    const server = createServer((socket) => socket.on('data', (bytes: Buffer) => socket.end(`banner, then ${bytes.toString()}`))).listen(
      0,
      'localhost',
    );
    await once(server, 'listening');
    await using coordinator = await startCoordinator({ pair });
    await using _worker = await startWorker(coordinator.port, pair, [`--ssh-port=${(server.address() as AddressInfo).port}`]);
    const { dialer, client } = await coordinator.nextLine();
    const socket = await dialer.dial({});
    socket.write('POST /connect-ssh HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\nearly');
    assert.match(await text(socket), /^HTTP\/1\.1 101 [^]*\r\n\r\nbanner, then early$/);
    await client[Symbol.asyncDispose]();
    server.close();
  });

  test('without --reconnect it ends with its line, as Go’s does', async () => {
    const coordinator = await startCoordinator({ pair });
    await using worker = await startWorker(coordinator.port, pair, ['--reconnect=false']);
    await (await coordinator.nextLine()).client[Symbol.asyncDispose]();
    await coordinator[Symbol.asyncDispose]();
    await worker.buildlet.finished;
  });

  test('a halt is answered over the line, and no other line is dialled', async () => {
    await using coordinator = await startCoordinator({ pair });
    await using worker = await startWorker(coordinator.port, pair);
    const { client, dialer } = await coordinator.nextLine();
    await client.halt(1, {});
    await client[Symbol.asyncDispose]();
    dialer.close('it was halted');
    await worker.buildlet.finished;
    assert.equal(coordinator.heads.filter((head) => head.startsWith('GET /reverse ')).length, 1);
  });

  test('a coordinator that is gone for too long is given up with everything that ran', async () => {
    const coordinator = await startCoordinator({ pair });
    await using worker = await startWorker(coordinator.port, pair, ['--orphaned-after=1500']);
    const { client } = await coordinator.nextLine();
    await client.startOrAttach(runId('a'), spec(['sleep', '1000']), 1, {});
    await client.startOrAttach(runId('b'), spec(['sleep', '2']), 1, {});
    assert.deepEqual((await endOf(client, 'b')).exit, { kind: 'exited', code: 0 }, 'an idle line is a sign of life');
    await client[Symbol.asyncDispose]();
    await coordinator[Symbol.asyncDispose]();
    await worker.buildlet.finished;
    assert.ok(worker.logged.some((line) => line.startsWith('orphaned')));
  });

  test('health is told on an address of its own, and a taken one is no reason not to work', async () => {
    await using coordinator = await startCoordinator({ pair });
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    try {
      await using blocked = await startWorker(coordinator.port, pair, [`-health-addr=:${port}`]);
      await (await coordinator.nextLine()).client[Symbol.asyncDispose]();
      assert.ok(blocked.logged.some((line) => line.startsWith('health checks not served')));
    } finally {
      taken.close();
    }
    await once(taken, 'close');
    await using _worker = await startWorker(coordinator.port, pair, [`-health-addr=:${port}`]);
    const health = await fetch(`http://127.0.0.1:${port}/healthz`);
    assert.deepEqual([health.status, await health.text()], [200, 'ok\n']);
    assert.equal((await fetch(`http://127.0.0.1:${port}/status`)).status, 404);
  });
});
