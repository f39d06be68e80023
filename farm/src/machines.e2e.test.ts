/** Machines that are put up as people do it: by the installer and the start script, and as the first process of a container. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '@croft/config/define-config';
import { systemClock } from '@croft/runtime/clock';
import type { Farm, MachineView } from '@croft/protocol/api';
import { endedBuild, logOf, onlyBuild } from './testing-builds.ts';
import { processesOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { hostType, startReverseFarm, type ReverseFarm } from './testing-reverse.ts';

// The test itself trusts whatever answers; the machines do not.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
const recipes = fileURLToPath(new URL('../../env/', import.meta.url));
/** Nothing of this repository, so a machine has the system's Node or none. */
const bare = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
const noSsl = hasOpenssl() ? false : 'no openssl found to make a certificate with';
const noNamespace = noSsl || (process.getuid?.() === 0 ? false : 'a namespace of its own needs root');

interface Rack extends AsyncDisposable {
  readonly rack: ReverseFarm;
  readonly dir: string;
  readonly url: string;
  /** PEM of the farm's authority. */
  readonly ca: string;
}

/** A farm whose certificate is made out to its name. */
async function openRack(repo: string): Promise<Rack> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-machine-')));
  const tls = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
  execFileSync('openssl', [...wanted, '-addext', 'subjectAltName=DNS:localhost', '-keyout', tls.keyFile, '-out', tls.certFile], {
    stdio: 'ignore',
  });
  const config: Partial<ConfigInput> = {
    tls,
    publicHosts: ['localhost'],
    repos: [{ name: 'app', url: repo }],
    builders: [{ name: 'ci', repo: 'app', hostType }],
  };
  const rack = stack.use(await startReverseFarm(config, { ...bare, HOME: dir }));
  const owned = stack.move();
  return { rack, dir, url: rack.farm.url, ca: tls.certFile, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function machineOf({ farm }: ReverseFarm, id: string, is: (machine: MachineView) => boolean): Promise<MachineView> {
  return farm.waitFor(`machine ${id}`, async () => {
    const { machines } = await farm.api<Farm>('GET', '/api/v1/farm');
    return machines.find((machine) => machine.id === id && is(machine));
  });
}

/** Ends it as a service manager does, and waits until it has. @returns its exit status */
async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }
  return child.exitCode;
}

test(
  'install.sh and start.sh put up a machine that builds, outlives its coordinator, and leaves nothing behind',
  { skip: noSsl },
  async () => {
    await using repo = await makeRepo('#!/bin/sh\necho "built by $(whoami)"\n');
    await using place = await openRack(repo.dir);
    const { rack, dir, url, ca } = place;
    const root = join(dir, 'root');
    const flags = ['--farm', url, '--host-type', hostType, '--ca', ca];
    const installing = spawn('/bin/sh', [join(recipes, 'linux/install.sh'), ...flags, '--root', root], {
      env: bare,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    installing.stdin?.end(await readFile(join(rack.dir, 'key')));
    const complaint = installing.stderr ? text(installing.stderr) : '';
    assert.deepEqual(await once(installing, 'exit'), [0, null], await complaint);
    const home = join(root, 'var/lib/croft-buildlet');
    const script = join(root, 'usr/local/lib/croft-buildlet/start.sh');
    const key = await open(join(root, 'etc/croft-buildlet/key')); // as its unit has root do
    const service = spawn('/bin/sh', [script, ...flags, '--dir', home, '--key-file', 'fd:0'], {
      env: { ...bare, HOSTNAME: 'inst' },
      stdio: [key.fd, 'ignore', 'pipe'],
    });
    await key.close();
    let log = '';
    service.stderr?.setEncoding('utf8').on('data', (piece) => (log += String(piece)));
    try {
      const { id } = await onlyBuild(rack.farm);
      const build = await endedBuild(rack.farm, id);
      assert.deepEqual(build.end, { kind: 'passed' }, log);
      assert.match(String(await logOf(rack.farm, id)), /built by/);
      const before = await machineOf(rack, 'rack-inst', ({ state }) => state === 'ready');
      await rack.farm.kill9();
      await rack.farm.restart();
      await machineOf(rack, 'rack-inst', ({ state, seenAt }) => state === 'ready' && seenAt > before.seenAt);
      assert.deepEqual(JSON.parse(await readFile(join(home, 'versions.json'), 'utf8')).bad, []);
    } finally {
      assert.equal(await stop(service), 0, log);
    }
    assert.deepEqual(processesOf(root), []);
  },
);

test(
  'the entry point is the first process of a container, takes the key from its secret, and ends on SIGTERM',
  { skip: noNamespace },
  async () => {
    await using repo = await makeRepo('#!/bin/sh\necho "in $(readlink /proc/self/ns/pid)"\n');
    await using place = await openRack(repo.dir);
    const { rack, dir, url, ca } = place;
    const secret = join(dir, 'secret');
    await writeFile(secret, await readFile(join(rack.dir, 'key')), { mode: 0o644 });
    const env = { ...bare, FARM: url, HOST_TYPE: hostType, CA_FILE: ca, KEY_FILE: secret, DIR: join(dir, 'state'), HOSTNAME: 'box' };
    const alone = ['--pid', '--fork', '--kill-child', '--mount-proc', '/bin/sh', join(recipes, 'docker/entrypoint.sh')];
    const container = spawn('unshare', alone, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    container.stderr?.setEncoding('utf8').on('data', (piece) => (log += String(piece)));
    try {
      const { id } = await onlyBuild(rack.farm);
      assert.deepEqual((await endedBuild(rack.farm, id)).end, { kind: 'passed' }, log);
      assert.match(String(await logOf(rack.farm, id)), /in pid:/);
      await machineOf(rack, 'rack-box', ({ state }) => state === 'ready');
    } finally {
      const ended = once(container, 'exit', { signal: systemClock.deadline(40_000) });
      execFileSync('pkill', ['-TERM', '--parent', String(container.pid)]); // unshare itself takes no signal
      assert.deepEqual(await ended, [0, null], log);
    }
    assert.deepEqual(processesOf(join(dir, 'state')), []);
  },
);

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
