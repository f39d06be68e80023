/** A program of a few lines in a process of its own, for tests that kill it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface TestProgram extends AsyncDisposable {
  readonly pid: number | undefined;
  /** The lines that it has printed. */
  readonly printed: readonly string[];
  /** Kills it with -9; resolves when it is gone and all that it had printed was read. */
  kill(): Promise<void>;
}

/**
 * Starts an ES module and waits until it has printed `lines` lines. It finds a silent `log` and, as `gc`, the garbage collector.
 * @throws Error when it ends before; its own complaint is on stderr
 */
export async function startProgram(source: string, { lines = 1 } = {}): Promise<TestProgram> {
  const module = `const log = { debug() {}, info() {}, warn() {}, error() {} };\n${source}`;
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '--eval', module], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const printed: string[] = [];
  const enough = new Promise<boolean>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (printed.push(line) === lines) resolve(true);
    });
  });
  const began = await Promise.race([enough, closed.then(() => false)]);
  if (!began) throw new Error(`the program ended after ${printed.length} lines`);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  return { pid: child.pid, printed, kill, [Symbol.asyncDispose]: kill };
}

/** The address of a module beside this one, quoted for an import. */
export function moduleAddress(name: string): string {
  return JSON.stringify(new URL(name, import.meta.url).href);
}
