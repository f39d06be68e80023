/** Go's buildlet and ours as processes, started the same way, on free ports and in fresh directories. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { freePort } from '@croft/runtime/testing';
import { until } from '../testing-waiting.ts';
import type { GoPrograms } from './go-programs.ts';
import type { Command, OwnNetwork } from './own-network.ts';

export type Maker = 'Go' | 'Croft';

export interface BuildletProcess extends AsyncDisposable {
  readonly maker: Maker;
  /** `127.0.0.1:PORT`; where a reverse one listens for nothing. */
  readonly address: string;
  readonly workDir: string;
  readonly pid: number;
  /** Both streams so far. */
  output(): string;
  /** Resolves when it is gone: its exit code or the signal. */
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Once more over the same directories; resolves when it serves. */
  restart(): Promise<void>;
}

export interface BuildletOptions {
  readonly programs: GoPrograms;
  /** Of whoever runs the tests. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Added to its flags and environment. */
  readonly flags?: readonly string[];
  readonly more?: Readonly<Record<string, string>>;
  /** It dials out and listens for nothing. */
  readonly reverse?: boolean;
  /** Files of its home directory. */
  readonly home?: Readonly<Record<string, string>>;
  /** What it has at these places, in a mount namespace of its own; only root can do this. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** Where it runs, if not on this machine's. */
  readonly network?: OwnNetwork;
}

const croftMain = fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url));
const startMs = 30 * SECOND;

export async function startBuildlet(maker: Maker, options: BuildletOptions): Promise<BuildletProcess> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-interop-')));
  const workDir = join(dir, 'work');
  await mkdir(workDir);
  for (const [name, content] of Object.entries(options.home ?? {})) await writeFile(join(dir, name), content, { mode: 0o600 });
  const address = `127.0.0.1:${await freePort()}`;
  let output = '';
  let child: ChildProcess | undefined;
  let ended = Promise.resolve<number | NodeJS.Signals>(0);
  const start = async (): Promise<void> => {
    const command = withMounts(options.mounts, commandOf(maker, { workDir, address, options }));
    const [program, ...args] = options.network?.enter(dir, command) ?? command;
    const started = spawn(program, args, { cwd: dir, env: environmentOf(dir, options), stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    started.stdout.setEncoding('utf8').on('data', (piece: string) => void (output += piece));
    started.stderr.setEncoding('utf8').on('data', (piece: string) => void (output += piece));
    ended = once(started, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
    if (!options.reverse)
      await until(() => answers(address), { what: `${maker}’s buildlet to serve`, limitMs: startMs, tell: () => output });
  };
  stack.defer(async () => {
    child?.kill('SIGKILL');
    await ended;
  });
  await start();
  const owned = stack.move();
  return {
    maker,
    address,
    workDir,
    get pid() {
      return child?.pid ?? 0;
    },
    get ended() {
      return ended;
    },
    output: () => output,
    async kill(signal) {
      child?.kill(signal);
      return ended;
    },
    restart: start,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface Reverse {
  /** `host:port`. */
  readonly coordinator: string;
  readonly hostType: string;
  readonly hostname: string;
}

/** What makes a buildlet dial out with the public development key, as Go's does to a coordinator whose name is not its own. */
export function reverseFlags(maker: Maker, { coordinator, hostType, hostname }: Reverse): string[] {
  const given = ['-reverse-type', hostType, '-coordinator', coordinator, '-hostname', hostname, '-health-addr', '127.0.0.1:0'];
  return maker === 'Go' ? given : [...given, '-insecure-dev'];
}

/** Where it finds the machine's SSH server; Go's looks at one place. */
export function sshFlags(maker: Maker, port: number): string[] {
  return maker === 'Go' ? [] : ['-ssh-port', String(port)];
}

interface Place {
  readonly workDir: string;
  readonly address: string;
  readonly options: BuildletOptions;
}

/** `-halt=false`: Go's would switch this machine off. */
function commandOf(maker: Maker, { workDir, address, options }: Place): Command {
  const listen = options.reverse ? [] : ['-listen', address];
  const given = ['-halt=false', '-workdir', workDir, ...listen, ...(options.flags ?? [])];
  if (maker === 'Go') return [options.programs.buildlet, ...given];
  const open = options.reverse ? [] : ['-insecure-listen'];
  return [process.execPath, croftMain, ...given, ...open, '-state-dir', `${workDir}.state`];
}

function withMounts(mounts: BuildletOptions['mounts'], command: Command): Command {
  if (!mounts) return command;
  const mount = 'while [ "$1" != -- ]; do mount --bind "$2" "$1" || exit 1; shift 2; done; shift; exec "$@"';
  return ['unshare', '--mount', 'sh', '-c', mount, 'sh', ...Object.entries(mounts).flat(), '--', ...command];
}

function environmentOf(dir: string, { env, more }: BuildletOptions): Record<string, string> {
  return { PATH: env['PATH'] ?? '', HOME: dir, TMPDIR: dir, AWS_EC2_METADATA_DISABLED: 'true', ...more };
}

async function answers(address: string): Promise<boolean> {
  const [host = '', port] = address.split(':');
  const socket = connect(Number(port), host);
  try {
    await once(socket, 'connect', { signal: systemClock.deadline(SECOND) });
    return true;
  } finally {
    socket.destroy();
  }
}
