/** Starts commands with Node's own spawn and named pipes: works on every Unix and every Node, and forks by copying page tables. */
import { spawn, type ChildProcess } from 'node:child_process';
import { systemCode } from '@croft/runtime/errors';
import { escapedText } from './byte-text.ts';
import type { Command, Exited, Launched, Launcher, Process } from './command.ts';
import { openPipeStock } from './pipes.ts';

/** @throws CroftError `unavailable` when there is no `mkfifo` program */
export async function openFifoLauncher(pipesDir: string): Promise<Launcher> {
  const pipes = await openPipeStock(pipesDir);
  return {
    way: 'fifo',
    dirs: [pipesDir],
    async launch(command, born, { signal }) {
      if (command.argv[0] === '') return { kind: 'failed', code: 'ENOENT' };
      using pipe = await pipes.take();
      using errors = command.ownStderr ? await pipes.take() : undefined;
      using input = command.input ? await pipes.take({ forInput: true }) : undefined;
      signal.throwIfAborted();
      const fds = { input: input?.readFd, output: pipe.writeFd, errors: (errors ?? pipe).writeFd };
      const launched = await settled(born(() => spawnWith(command, fds)));
      if (launched.kind === 'failed') return launched;
      return {
        ...launched,
        readFd: pipe.takeReadEnd(),
        ...(errors ? { stderrFd: errors.takeReadEnd() } : {}),
        ...(input ? { inputFd: input.takeWriteEnd() } : {}),
      };
    },
    [Symbol.asyncDispose]: () => pipes[Symbol.asyncDispose](),
  };
}

/** What becomes stdin, stdout and stderr. */
interface Ends {
  readonly input: number | undefined;
  readonly output: number;
  readonly errors: number;
}

/** The fork happens before this returns. */
function spawnWith({ argv, cwd, env }: Command, { input, output, errors }: Ends): ChildProcess | Error {
  try {
    const [program, ...args] = argv.map(escapedText) as [string, ...string[]];
    return spawn(program, args, { cwd, env: { ...env }, detached: true, stdio: [input ?? 'ignore', output, errors] });
  } catch (error) {
    return error as Error;
  }
}

type Settled = Exclude<Launched, { kind: 'started' }> | (Process & { kind: 'started' });

/** Waits until it is known whether the spawn worked. */
async function settled(child: ChildProcess | Error): Promise<Settled> {
  if (child instanceof Error) return failed(child);
  const exited = new Promise<Exited>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  if (child.pid === undefined) return failed(await new Promise<Error>((resolve) => child.once('error', resolve)));
  child.on('error', () => {}); // a signal that could not be sent is told to its sender
  return { kind: 'started', pid: child.pid, exited };
}

function failed(error: Error): Settled {
  const code = systemCode(error) ?? 'EINVAL';
  return { kind: 'failed', code: code.startsWith('ERR_') ? 'EINVAL' : code, error };
}
