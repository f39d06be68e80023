/** A farm whose machines dial in over TLS, with real buildlets under a supervisor that starts them again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '@croft/config/define-config';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { killAll, processesOf } from './testing-processes.ts';
import { startFarm, type TestFarm } from './testing.ts';

const buildletMain = fileURLToPath(new URL('../../apps/buildlet/src/main.ts', import.meta.url));
export const hostType = 'host-rack';

export interface ReverseFarm extends AsyncDisposable {
  readonly farm: TestFarm;
  /** Everything of its machines lies below. */
  readonly dir: string;
  machine(host: string): Promise<TestMachine>;
}

export interface TestMachine {
  /** Of the buildlet that runs at present. */
  pid(): number;
  output(): string;
}

/** Of the machines; without what this process needs to trust the farm. */
export type MachineEnv = Readonly<Record<'PATH' | 'HOME', string | undefined>>;

/** The machines know the farm by a key that it made; whoever asks it must trust whatever answers on loopback. */
export async function startReverseFarm(config: Partial<ConfigInput>, env: MachineEnv): Promise<ReverseFarm> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-rack-'));
  stack.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const { certificate, key } = await createKeyPair({ clock: systemClock, random: systemRandom });
  const tls = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  await Promise.all([writeFile(tls.certFile, certificate), writeFile(tls.keyFile, key, { mode: 0o600 })]);
  const pools: ConfigInput['pools'] = [{ kind: 'reverse', name: 'rack', hostType, expect: 1 }];
  const whole = { tls, hostTypes: [{ name: hostType }], pools, ...config };
  const farm = stack.use(await startFarm({ config: whole, env: { NODE_TLS_REJECT_UNAUTHORIZED: undefined } }));
  const made = await farm.api<{ secret: string }>('POST', '/api/v1/keys', { hostType, name: 'rack', expiresInMs: 3_600_000 });
  await writeFile(join(dir, 'key'), made.secret, { mode: 0o600 });
  stack.defer(() => killAll(processesOf(dir)));
  const machines = stack.use(createTaskGroup((_, error) => process.stderr.write(`${String(error)}\n`)));
  const owned = stack.move();
  return {
    farm,
    dir,
    async machine(host) {
      const machine = await createMachine({ host, dir, coordinator: new URL(farm.url).host, env });
      machines.start(host, machine.run);
      return machine;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Place {
  readonly host: string;
  readonly dir: string;
  readonly coordinator: string;
  readonly env: MachineEnv;
}

async function createMachine({
  host,
  dir,
  coordinator,
  env,
}: Place): Promise<TestMachine & { run(waits: { signal: AbortSignal }): Promise<void> }> {
  const own = join(dir, host);
  await mkdir(join(own, 'work'), { recursive: true, mode: 0o700 });
  let child: ChildProcess | undefined;
  let output = '';
  const flags = ['-reverse-type', hostType, '-coordinator', coordinator, '--insecure-dev', '--key-file', join(dir, 'key')];
  const places = ['-hostname', host, '-workdir', join(own, 'work'), '--state-dir', join(own, 'state')];
  return {
    pid: () => child?.pid ?? 0,
    output: () => output,
    async run({ signal }) {
      for (; !signal.aborted; await systemClock.sleep(500, { signal })) {
        child = spawn(process.execPath, [buildletMain, ...flags, ...places], { env, stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (piece) => (output += String(piece)));
        const ended = once(child, 'exit');
        const kill = (): void => void child?.kill('SIGTERM');
        signal.addEventListener('abort', kill, { once: true });
        await ended;
        signal.removeEventListener('abort', kill);
      }
    },
  };
}
