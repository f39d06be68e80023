/** One way to start, watch and end a command, for runs and for `/exec`: born in its tree, and ended when the whole tree is dead. */
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import { messages } from '../events.ts';
import { killIfThere, type GroupUsage } from '../tree/groups.ts';
import type { TreeMark, Trees } from '../tree/trees.ts';
import { foregroundGroup } from '../tree/processes.ts';
import type { Born, Command, Exited, Launched, Launcher, OutputSource, Process, Terminal, TerminalSize, Usage } from './command.ts';
import type { Terminals } from './terminals.ts';

export interface LiveDeps {
  readonly launcher: Launcher;
  readonly terminals: Terminals;
  readonly trees: Trees;
  /** Owns the killing. */
  readonly tasks: TaskGroup;
  readonly log: Log;
}

export interface LiveCommand {
  readonly pid: number;
  /** Its output, for whoever takes it over; its input, once that has happened. */
  readonly source: OutputSource;
  /** Its standard error, where that is not the same. */
  readonly errors: OutputSource | undefined;
  /** Where what it reads is written; undefined when it reads nothing. */
  input(): Writable | undefined;
  /** False when it has no terminal. */
  resize(size: TerminalSize): boolean;
  /** Resolves when the command has ended and everything that it started is dead, but for what is stuck in the kernel. */
  readonly ended: Promise<Exited>;
  /** Its output has ended: so it has, most of the time, and `ended` need not wait for the system to tell. */
  look(): void;
  /** Kills the whole tree; false when the command has ended by itself. */
  kill(): boolean;
  /** To its process group; false when it has ended. */
  signal(name: NodeJS.Signals): boolean;
}

export type Start = { readonly kind: 'started'; readonly command: LiveCommand } | Extract<Launched, { kind: 'failed' }>;

/** @throws the signal's reason when it is aborted before the start. The place of the tree is made, also when nothing was started. */
export async function startCommand(command: Command, mark: TreeMark, deps: LiveDeps, waits: { signal: AbortSignal }): Promise<Start> {
  const { launcher, terminals, trees, tasks, log } = deps;
  const movers = command.terminal ? 'process' : 'thread'; // the module of terminals starts a thread for each of them
  const born: Born = (start) => trees.spawnInside(mark, start, movers);
  const launched = command.terminal ? terminals.launch(command, born) : await launcher.launch(command, born, waits);
  if (launched.kind === 'failed') return launched;
  const { pid, exited } = launched;
  let hasExited = false;
  const end = async (): Promise<Exited> => {
    const how = await exited;
    hasExited = true;
    const usage = wholeUsage(how.usage, trees.usage(mark));
    const left = await trees.fell(mark, pid);
    if (left.length > 0) log.error(messages.wouldNotDie, { run: mark.cookie.replace(/^[^:]*:/, ''), pids: left });
    return { ...how, ...(usage ? { usage } : {}) };
  };
  const live = {
    pid,
    ended: end(),
    look: () => launched.look?.(),
    kill() {
      if (!hasExited) tasks.start('kill a command', async () => void (await trees.fell(mark, pid)));
      return !hasExited;
    },
    signal(name: NodeJS.Signals) {
      if (!hasExited) killIfThere(-((command.terminal && foregroundGroup(pid)) ?? pid), name);
      return !hasExited;
    },
  };
  return { kind: 'started', command: { ...live, ...('terminal' in launched ? onTerminal(launched.terminal) : onPipes(launched)) } };
}

/** The group counts what nobody waited for, too; without it the process tells. */
function wholeUsage(own: Usage | undefined, { cpuMs, peakBytes }: GroupUsage): Usage | undefined {
  const whole = { cpuMs: Math.max(cpuMs ?? 0, own?.cpuMs ?? 0), peakBytes: peakBytes ?? own?.peakBytes ?? 0 };
  return whole.peakBytes > 0 ? whole : undefined;
}

type Ends = Pick<LiveCommand, 'source' | 'errors' | 'input' | 'resize'>;

function onPipes({ readFd, stderrFd, inputFd }: Omit<Extract<Launched, { kind: 'started' }>, keyof Process>): Ends {
  const input = inputFd === undefined ? undefined : new Socket({ fd: inputFd, readable: false, writable: true });
  input?.on('error', () => {}); // told to whoever writes
  return { source: readFd, errors: stderrFd, input: () => input, resize: () => false };
}

/** Both ways are one stream, which is made by whoever reads it. */
function onTerminal(terminal: Terminal): Ends {
  let stream: Socket | undefined;
  return {
    source: { open: (onread) => (stream = terminal.open(onread)) },
    errors: undefined,
    input: () => stream,
    resize(size) {
      terminal.resize(size);
      return true;
    },
  };
}
