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

/** A pipe that no name leads to any more. Disposing closes the ends that were not handed on: a command has its own by then. */
export interface Pipe extends Disposable {
  readonly readFd: number;
  readonly writeFd: number;
  /** The read end, for whoever takes it over. Call once. */
  takeReadEnd(): number;
  /** The write end, likewise. */
  takeWriteEnd(): number;
}

export interface PipeStock extends AsyncDisposable {
  /** @param use `forInput`: a command reads it, which must wait for what comes; else we do */
  take(use?: { forInput: boolean }): Promise<Pipe>;
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
    async take({ forInput } = { forInput: false }) {
      while (ready.length === 0) await refill();
      const path = ready.shift() as string;
      if (ready.length < refillAt) refill().catch(() => {}); // told to whoever finds the stock empty
      return openPipe(path, forInput);
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

function openPipe(path: string, forInput: boolean): Pipe {
  const firstFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // else it would wait for a writer
  const writeFd = openSync(path, constants.O_WRONLY);
  const readFd = forInput ? openSync(path, constants.O_RDONLY) : firstFd;
  if (forInput) closeSync(firstFd);
  unlinkSync(path);
  const ours = new Set([readFd, writeFd]);
  const take = (fd: number): number => {
    ours.delete(fd);
    return fd;
  };
  return {
    readFd,
    writeFd,
    takeReadEnd: () => take(readFd),
    takeWriteEnd: () => take(writeFd),
    [Symbol.dispose]() {
      for (const fd of ours) closeSync(fd);
      ours.clear();
    },
  };
}
