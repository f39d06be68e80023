/**
 * What every `main.ts` does: run until a signal, dispose in order, set the exit code. A second signal ends at once, but not
 * within a second of the first: npm passes on the Ctrl-C that the terminal has already sent to everybody.
 */
import { flushCompileCache } from 'node:module';
import { SECOND } from './clock.ts';
import { CroftError, errorText } from './errors.ts';

export interface Main extends AsyncDisposable {
  /** Called with the signal's name before disposal, so that an app may tell a stop from an end. */
  onSignal?(name: NodeJS.Signals): void;
  /** Resolves when the program ends by itself; a server leaves it out. */
  readonly finished?: Promise<void>;
}

/** Ctrl-C, a service manager's stop, and a terminal that was closed. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs `start` until one of these signals or its own end. Exit codes: 0 done, 1 failed, 2 bad use or settings, 3 what it needs belongs to another process or to a newer program. */
export async function runMain(start: () => Promise<Main>): Promise<void> {
  const asked = Promise.withResolvers<NodeJS.Signals>();
  let firstAt: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    firstAt ??= performance.now();
    if (performance.now() - firstAt > SECOND) process.kill(process.pid, 'SIGKILL');
    asked.resolve(name);
  };
  for (const name of signals) process.on(name, onSignal);
  try {
    await using main = await start();
    flushCompileCache(); // at the end would be too late: a program may be ended with kill -9
    const name = await Promise.race([asked.promise, ...(main.finished ? [main.finished] : [])]);
    if (name) main.onSignal?.(name);
  } catch (error) {
    process.stderr.write(`croft: ${errorText(error)}\n`);
    if (error instanceof CroftError && error.hint) process.stderr.write(`${error.hint}\n`);
    else if (!(error instanceof CroftError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = exitCodeOf(error);
  } finally {
    for (const name of signals) process.removeListener(name, onSignal);
  }
}

function exitCodeOf(error: unknown): number {
  if (!(error instanceof CroftError)) return 1;
  return { invalid: 2, conflict: 3 }[error.code as string] ?? 1;
}
