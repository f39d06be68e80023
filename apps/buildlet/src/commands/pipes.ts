/**
 * One real pipe for stdout and stderr of a command. Node's own pipes are sockets, which `> /dev/stderr` cannot open, and it has
 * no call for pipe(2) or mkfifo(3): named pipes are made ahead, several by one `mkfifo`, so that a run costs one spawn only.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';

const stockSize = 16;
const refillAt = 4;

/** A pipe that no name leads to any more. Disposing closes the ends that were not handed on. */
export interface Pipe extends Disposable {
  /** For the command, as its descriptors 1 and 2. Ours must be closed once the command has its own, or the pipe never ends. */
  readonly writeFd: number;
  /** The read end, for whoever takes it over. Call once. */
  takeReadEnd(): number;
}

export interface PipeStock extends AsyncDisposable {
  take(): Promise<Pipe>;
}

/** @throws CroftError `unavailable` when there is no `mkfifo` program */
export async function openPipeStock(dir: string): Promise<PipeStock> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const ready: string[] = [];
  let made = 0;
  let filling: Promise<void> | undefined;
  const refill = (): Promise<void> => {
    filling ??= (async () => {
      const paths = Array.from({ length: stockSize }, () => join(dir, `pipe-${(made += 1)}`));
      await makeFifos(paths);
      ready.push(...paths);
    })().finally(() => (filling = undefined));
    return filling;
  };
  await refill();
  return {
    async take() {
      while (ready.length === 0) await refill();
      const path = ready.shift() as string;
      if (ready.length < refillAt) refill().catch(() => {}); // told to whoever finds the stock empty
      return openPipe(path);
    },
    async [Symbol.asyncDispose]() {
      await filling?.catch(() => {});
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function makeFifos(paths: readonly string[]): Promise<void> {
  const child = spawn('mkfifo', ['-m', '600', ...paths], { stdio: 'ignore' });
  const [code] = (await once(child, 'exit').catch((cause: unknown) => {
    throw new CroftError('unavailable', 'make pipes for the output of commands: mkfifo cannot be run', {
      cause,
      hint: 'Install the program mkfifo (package coreutils) and see that it is in the PATH of the buildlet.',
    });
  })) as [number | null];
  if (code !== 0) throw new CroftError('unavailable', `make pipes for the output of commands: mkfifo ended with ${code}`);
}

function openPipe(path: string): Pipe {
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeFd = openSync(path, constants.O_WRONLY);
  unlinkSync(path);
  let taken = false;
  let disposed = false;
  return {
    writeFd,
    takeReadEnd() {
      taken = true;
      return readFd;
    },
    [Symbol.dispose]() {
      if (disposed) return;
      disposed = true;
      closeSync(writeFd);
      if (!taken) closeSync(readFd);
    },
  };
}
