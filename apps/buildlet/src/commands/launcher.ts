/** Chooses how commands are started on this machine: the fast way where a command started so shows that it works, else the other. */
import { realpath } from 'node:fs/promises';
import { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Clock } from '@croft/runtime/clock';
import { hasTerminal } from '../tree/processes.ts';
import type { Trees } from '../tree/trees.ts';
import type { Command, Launcher } from './command.ts';
import { openFifoLauncher } from './fifo-launcher.ts';
import { openSpawnLauncher } from './spawn-launcher.ts';

const checkWithinMs = 5_000;
const checkCode = 7;

export interface LauncherParts {
  /** For the named pipes, where they are needed. */
  readonly pipesDir: string;
  readonly clock: Clock;
  readonly trees: Pick<Trees, 'way'>;
  /** `fifo` does not try the fast way. */
  readonly way?: 'auto' | 'fifo';
}

export async function openLauncher({ pipesDir, clock, trees, way = 'auto' }: LauncherParts): Promise<Launcher> {
  const ownSession = trees.way === 'cookie' || hasTerminal(); // else a kernel group holds a tree together, and a session costs much
  const fast = way === 'auto' ? openSpawnLauncher(clock, { ownSession }) : undefined;
  if (fast && (await works(fast, clock, ownSession))) return fast;
  await fast?.[Symbol.asyncDispose]();
  return openFifoLauncher(pipesDir);
}

/** One command that tells where it is: in a session or a group of its own, in its directory, with its environment, and how it ends. */
async function works(launcher: Launcher, clock: Clock, ownSession: boolean): Promise<boolean> {
  const cwd = await realpath('/');
  const script = `read -r _ _ _ _ group session _ </proc/$$/stat; echo "$$ $group $session $PWD $CHECK" >&2; exit ${checkCode}`;
  const command: Command = { argv: ['/bin/sh', '-c', script], cwd, env: { CHECK: 'whole' } };
  try {
    const signal = clock.deadline(checkWithinMs);
    const launched = await launcher.launch(command, (start) => start(), { signal });
    if (launched.kind === 'failed') return false;
    const { pid, readFd, exited } = launched;
    const output = await text(new Socket({ fd: readFd, readable: true, writable: false, signal }));
    const late = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
    const { code } = await Promise.race([exited, late]);
    const [told, group, session, ...rest] = output.trimEnd().split(' ');
    const isApart = told === String(pid) && group === told && (session === told) === ownSession;
    return isApart && rest.join(' ') === `${cwd} whole` && code === checkCode;
  } catch {
    return false;
  }
}
