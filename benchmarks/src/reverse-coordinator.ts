/** A coordinator over TLS that machines dial: its own process, killed and started again over the same data and port. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'node:https';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { createInterface } from 'node:readline';
import type { IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { anySignal, HOUR, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { cpuMs } from './process-cpu.ts';
import type { Bench } from './row.ts';

export interface Coordinator {
  readonly pid: number;
  readonly port: number;
  /** Of one that was started on a port of our choice. */
  readonly listened?: Listened;
  makeKey(hostType: string): Promise<string>;
  /** How many machines of the host type it knows to be connected. */
  connected(hostType: string): Promise<number>;
  /** A request to its API, as its admin. */
  call(method: string, path: string, body?: object): Promise<unknown>;
  kill(): Promise<void>;
}

/** When it was first seen to take connections, epoch ms, and what processor time it had used by then. */
export interface Listened {
  readonly at: number;
  readonly cpuMs: number;
}

const coordinatorMain = fileURLToPath(new URL('../../apps/coordinator/src/main.ts', import.meta.url));
const startMs = 30 * SECOND;
const lookMs = 5;

/** Its own, with an elliptic key as authorities give them today; needs `openssl`. */
export async function makeCertificate(dir: string): Promise<{ certFile: string; keyFile: string }> {
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'tls-key.pem')];
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=croft'];
  await promisify(execFile)('openssl', [...wanted, '-keyout', keyFile, '-out', certFile]);
  return { certFile, keyFile };
}

/** @param port any free one when absent */
export async function startCoordinator(config: Partial<ConfigInput>, bench: Bench, port = 0): Promise<Coordinator> {
  const { dir, clock, signal, profileDir } = bench;
  const dataDir = join(dir, 'farm');
  await mkdir(dataDir, { recursive: true });
  const file = join(dir, 'farm.json');
  await writeFile(file, JSON.stringify({ dataDir, port, logFile: join(dataDir, 'coordinator.log'), ...config }));
  await using complaints = await open(join(dir, 'farm.err'), 'a');
  const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
  const flags = ['--disable-warning=ExperimentalWarning', ...profile, coordinatorMain, '--config', file];
  const child = spawn(process.execPath, flags, { detached: true, stdio: ['ignore', 'pipe', complaints.fd] });
  const gone = once(child, 'exit');
  const listening = port === 0 ? undefined : whenListening(port, child.pid ?? 0, bench);
  listening?.catch(() => undefined); // awaited when it has told where it is
  const [line] = (await once(createInterface({ input: child.stdout as Readable }), 'line', {
    signal: anySignal(signal, clock.deadline(startMs)),
  })) as [string];
  const bound = Number(new URL(line).port);
  const listened = await listening;
  const call = (method: string, path: string, body?: object): Promise<unknown> => ask({ port: bound, method, path }, body);
  return {
    pid: child.pid ?? 0,
    port: bound,
    ...(listened && { listened }),
    call,
    async makeKey(hostType) {
      const made = await call('POST', '/api/v1/keys', { hostType, name: 'benchmark', expiresInMs: HOUR });
      return (made as { secret: string }).secret;
    },
    async connected(hostType) {
      const { HostTypes } = (await call('GET', '/status/reverse.json')) as { HostTypes: Record<string, { Connected: number }> };
      return HostTypes[hostType]?.Connected ?? 0;
    },
    async kill() {
      child.kill(profileDir === undefined ? 'SIGKILL' : 'SIGTERM'); // a profile is written by one that ends by itself
      await gone;
    },
  };
}

async function whenListening(port: number, pid: number, { clock, signal }: Bench): Promise<Listened> {
  const limit = anySignal(signal, clock.deadline(startMs));
  while (!(await answers(port))) await clock.sleep(lookMs, { signal: limit });
  return { at: clock.now(), cpuMs: await cpuMs([pid]) };
}

/** Whether somebody listens on this port of loopback. */
export async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function ask({ port, method, path }: { port: number; method: string; path: string }, body?: object): Promise<unknown> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const asked = request({ host: '127.0.0.1', port, method, path, headers, rejectUnauthorized: false });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  if ((answer.statusCode ?? 0) >= 300)
    throw new CroftError('unavailable', `${method} ${path}: the coordinator answered ${answer.statusCode}`);
  return json(answer);
}
