/** One machine that is entered in two ways: through the SSH door over its reverse line, and by OpenSSH's server straight. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { anySignal, MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { freePort } from '@croft/runtime/testing';
import { makeCertificate, startCoordinator } from './reverse-coordinator.ts';
import { createSampleRepository } from './sample-repository.ts';
import type { Bench } from './row.ts';

export interface Way {
  readonly name: string;
  readonly user: string;
  readonly port: number;
  /** For OpenSSH's programs. */
  readonly options: readonly string[];
}

export interface SshPlace extends AsyncDisposable {
  readonly door: Way;
  readonly direct: Way;
  readonly coordinatorPid: number;
  /** PEM of the key that both let in. */
  readonly key: string;
}

const buildletMain = fileURLToPath(new URL('../../apps/buildlet/src/main.ts', import.meta.url));
const hostType = 'host-bench';
const sshd = '/usr/sbin/sshd';
const execFileOf = promisify(execFile);

/** @throws CroftError `unavailable` where there is no sshd, or nobody who may start it */
export async function openSshPlace(bench: Bench): Promise<SshPlace> {
  const { dir, clock, signal } = bench;
  if (process.getuid?.() !== 0) throw new CroftError('unavailable', 'OpenSSH’s server can only be started by root here');
  await using stack = new AsyncDisposableStack();
  const tls = await makeCertificate(dir);
  const repo = await createSampleRepository(dir, signal);
  const port = await freePort();
  const config = {
    tls,
    ssh: { port },
    hostTypes: [{ name: hostType }],
    pools: [{ kind: 'reverse' as const, hostType, expect: 1 }],
    repos: [{ name: 'sample', url: repo.path, depth: 1, pollMs: 'never' as const }],
    builders: [{ name: 'bench', repo: 'sample', hostType, steps: [{ name: 'nothing', argv: ['true'] }] }],
  };
  const coordinator = await startCoordinator(config, bench);
  stack.defer(() => coordinator.kill());
  const secret = await coordinator.makeKey(hostType);
  stack.use(await startMachine(secret, coordinator.port, bench));
  for (const name of ['id', 'host']) await execFileOf('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
  await coordinator.call('POST', '/api/v1/me/ssh-keys', { key: await readFile(join(dir, 'id.pub'), 'utf8') });
  const { id } = (await coordinator.call('POST', '/api/v1/sessions', { builder: 'bench' })) as { id: string };
  const limit = { signal: anySignal(signal, clock.deadline(MINUTE)) };
  while (((await coordinator.call('GET', `/api/v1/sessions/${id}`)) as { state: string }).state !== 'active') await clock.sleep(100, limit);
  const straight = await freePort();
  stack.use(await startSshd(straight, dir));
  const quiet = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'IdentitiesOnly=yes'];
  const options = ['-F', 'none', '-i', join(dir, 'id'), ...quiet.flatMap((one) => ['-o', one])];
  const owned = stack.move();
  return {
    door: { name: 'door', user: id, port, options },
    direct: { name: 'OpenSSH straight', user: 'root', port: straight, options },
    coordinatorPid: coordinator.pid,
    key: await readFile(join(dir, 'id'), 'utf8'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startMachine(secret: string, port: number, { dir }: Bench): Promise<AsyncDisposable> {
  await mkdir(join(dir, 'work'), { mode: 0o700 });
  await writeFile(join(dir, 'machine-key'), secret, { mode: 0o600 });
  const flags = ['-reverse-type', hostType, '-coordinator', `127.0.0.1:${port}`, '--insecure-dev', '--key-file', join(dir, 'machine-key')];
  const places = ['-hostname', 'bench', '-workdir', join(dir, 'work'), '--state-dir', join(dir, 'state')];
  const env = { PATH: process.env['PATH'], HOME: dir };
  const child = spawn(process.execPath, [buildletMain, ...flags, ...places], { env, stdio: 'ignore' });
  return ending(child);
}

async function startSshd(port: number, dir: string): Promise<AsyncDisposable> {
  await mkdir('/run/sshd', { recursive: true });
  const settings = [`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${dir}/host`, `AuthorizedKeysFile ${dir}/id.pub`, 'StrictModes no'];
  const more = [
    'UsePAM no',
    'PidFile none',
    'PermitRootLogin yes',
    'Subsystem sftp internal-sftp',
    `SetEnv HOME=${dir}`,
    'MaxSessions 300',
  ];
  await writeFile(join(dir, 'sshd'), [...settings, ...more, ''].join('\n'));
  const child = spawn(sshd, ['-D', '-e', '-f', join(dir, 'sshd')], { stdio: ['ignore', 'ignore', 'pipe'] });
  await once(child.stderr, 'data');
  child.stderr.resume();
  return ending(child);
}

function ending(child: ReturnType<typeof spawn>): AsyncDisposable {
  const gone = once(child, 'exit');
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
