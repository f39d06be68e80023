/** One way to start, watch and end a command, for runs and for `/exec`: born in its tree, and ended when the whole tree is dead. */
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import { messages } from '../events.ts';
import { killIfThere } from '../tree/groups.ts';
import type { TreeMark, Trees } from '../tree/trees.ts';
import type { Command, Exited, Launched, Launcher } from './command.ts';

export interface LiveDeps {
  readonly launcher: Launcher;
  readonly trees: Trees;
  /** Owns the killing. */
  readonly tasks: TaskGroup;
  readonly log: Log;
}

export interface LiveCommand {
  readonly pid: number;
  /** The read end of its output, for whoever takes it over. */
  readonly readFd: number;
  /** Resolves when the command has ended and everything that it started is dead, but for what is stuck in the kernel. */
  readonly ended: Promise<Exited>;
  /** Kills the whole tree; false when the command has ended by itself. */
  kill(): boolean;
  /** To its process group; false when it has ended. */
  signal(name: NodeJS.Signals): boolean;
}

export type Start = { readonly kind: 'started'; readonly command: LiveCommand } | Extract<Launched, { kind: 'failed' }>;

/** @throws the signal's reason when it is aborted before the start. The place of the tree is made, also when nothing was started. */
export async function startCommand(command: Command, mark: TreeMark, deps: LiveDeps, waits: { signal: AbortSignal }): Promise<Start> {
  const { launcher, trees, tasks, log } = deps;
  const launched = await launcher.launch(command, (start) => trees.spawnInside(mark, start), waits);
  if (launched.kind === 'failed') return launched;
  const { pid, readFd, exited } = launched;
  let hasExited = false;
  const end = async (): Promise<Exited> => {
    const how = await exited;
    hasExited = true;
    const left = await trees.fell(mark, pid);
    if (left.length > 0) log.error(messages.wouldNotDie, { run: mark.cookie.replace(/^[^:]*:/, ''), pids: left });
    return how;
  };
  const ended = end();
  return {
    kind: 'started',
    command: {
      pid,
      readFd,
      ended,
      kill() {
        if (!hasExited) tasks.start('kill a command', async () => void (await trees.fell(mark, pid)));
        return !hasExited;
      },
      signal(name) {
        if (!hasExited) killIfThere(-pid, name);
        return !hasExited;
      },
    },
  };
}
