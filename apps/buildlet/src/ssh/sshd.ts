/** The machine's own SSH server: connected to, and started where nobody else would. buildlet.md 1.12. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import { messages } from '../events.ts';

export interface Sshd {
  /** @throws CroftError `unavailable`, in the words of Go's programs */
  connect(waits: { signal: AbortSignal }): Promise<Socket>;
}

export interface SshdOptions {
  /** On loopback; by default 22, and where it is started here 2200 as Go's does. */
  readonly port?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Owns the server that was started. */
  readonly tasks: TaskGroup;
  /** What to run in the foreground where nobody else starts a server; undefined where somebody does. */
  readonly program?: (port: number) => Promise<readonly string[] | undefined>;
}

const tries = 5;
const betweenTriesMs = SECOND;
const connectMs = 5 * SECOND;
const startTries = 40;
const startStepMs = 10;
const restartMs = SECOND;
const ownPort = 2200;
const usualPort = 22;

export function createSshd({ port: given, clock, log, tasks, program = serverOfContainer }: SshdOptions): Sshd {
  let port = given ?? usualPort;
  let ensured: Promise<void> | undefined;

  const ensure = async (): Promise<void> => {
    const command = await program(given ?? ownPort);
    if (!command) return;
    port = given ?? ownPort;
    tasks.start('run the SSH server', (waits) => keepRunning(command, { clock, log }, waits));
    for (let i = 1; i <= startTries; i += 1) {
      const socket = await dial(port, clock, tasks.signal).catch(() => undefined);
      if (socket) return void socket.destroy();
      await clock.sleep(startStepMs * i, { signal: tasks.signal });
    }
  };

  return {
    async connect({ signal }) {
      ensured ??= ensure();
      await ensured;
      for (let i = 1; ; i += 1) {
        try {
          return await dial(port, clock, signal);
        } catch (error) {
          signal.throwIfAborted();
          if (i === tries) throw new CroftError('unavailable', `dial tcp 127.0.0.1:${port}: ${inGosWords(error)}`);
          await clock.sleep(betweenTriesMs, { signal });
        }
      }
    },
  };
}

async function dial(port: number, clock: Clock, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: 'localhost', port, noDelay: true });
  try {
    await once(socket, 'connect', { signal: anySignal(signal, clock.deadline(connectMs)) });
    return socket;
  } catch (error) {
    socket.on('error', () => {}).destroy();
    throw error;
  }
}

function inGosWords(error: unknown): string {
  const code = systemCode(error);
  if (code === 'ECONNREFUSED') return 'connect: connection refused';
  return code === undefined ? 'i/o timeout' : `connect: ${errorText(error)}`;
}

/** One that ends is started again, at most once a second. */
async function keepRunning(
  [file = '', ...args]: readonly string[],
  { clock, log }: { clock: Clock; log: Log },
  waits: { signal: AbortSignal },
): Promise<void> {
  for (;;) {
    const child = spawn(file, args, { stdio: 'ignore', signal: waits.signal });
    const ended = await once(child, 'close').catch((error: unknown) => [errorText(error)]);
    waits.signal.throwIfAborted();
    log.warn(messages.sshServerEnded, { program: file, exit: ended[0] ?? ended[1] });
    await clock.sleep(restartMs, waits);
  }
}

/** In the container that Go's farm makes of an image (its first program is stage0, and little else runs), and on NetBSD. */
async function serverOfContainer(port: number): Promise<readonly string[] | undefined> {
  if ((process.platform as string) === 'netbsd') return ['/etc/rc.d/sshd', 'start'];
  if (process.platform !== 'linux' || !(await isOwnContainer())) return undefined;
  await mkdir('/var/run/sshd', { recursive: true, mode: 0o700 });
  await once(spawn('ssh-keygen', ['-A'], { stdio: 'ignore' }), 'close').catch(() => undefined);
  return ['/usr/sbin/sshd', '-D', '-p', String(port), '-o', 'ListenAddress=127.0.0.1'];
}

const fewProcesses = 4;

export async function isOwnContainer(proc = '/proc', stage0 = '/usr/local/bin/stage0'): Promise<boolean> {
  const processes = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).length;
  const first = await stat(stage0).catch(() => undefined);
  return processes < fewProcesses && first?.isFile() === true;
}
