/** A coordinator over TLS that machines dial: its own process, killed and started again over the same data and port. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'node:https';
import type { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { createInterface } from 'node:readline';
import type { IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { anySignal, HOUR, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Bench } from './row.ts';

export interface Coordinator {
  readonly pid: number;
  readonly port: number;
  makeKey(hostType: string): Promise<string>;
  /** How many machines of the host type it knows to be connected. */
  connected(hostType: string): Promise<number>;
  kill(): Promise<void>;
}

const coordinatorMain = fileURLToPath(new URL('../../apps/coordinator/src/main.ts', import.meta.url));
const startMs = 30 * SECOND;

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
  const [line] = (await once(createInterface({ input: child.stdout as Readable }), 'line', {
    signal: anySignal(signal, clock.deadline(startMs)),
  })) as [string];
  const bound = Number(new URL(line).port);
  const call = (method: string, path: string, body?: object): Promise<unknown> => ask({ port: bound, method, path }, body);
  return {
    pid: child.pid ?? 0,
    port: bound,
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

async function ask({ port, method, path }: { port: number; method: string; path: string }, body?: object): Promise<unknown> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const asked = request({ host: '127.0.0.1', port, method, path, headers, rejectUnauthorized: false });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  if ((answer.statusCode ?? 0) >= 300)
    throw new CroftError('unavailable', `${method} ${path}: the coordinator answered ${answer.statusCode}`);
  return json(answer);
}
