/**
 * Commands on a terminal, by the native module of `@lydell/node-pty`, alone: its JavaScript gives up what is still unread 200 ms after an
 * end, and our pump does not. Loaded on first use; a buildlet without it does everything else.
 */
import { readSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { OnReadOpts } from 'node:net';
import { dirname, join } from 'node:path';
import { ReadStream } from 'node:tty';
import { findProgram, signalName, type Born, type Command, type Exited, type Launched, type Process, type Terminal } from './command.ts';

/** What we use of `pty.node`; its version is pinned. */
interface Native {
  fork(...start: ForkArguments): { readonly fd: number; readonly pid: number };
  resize(fd: number, cols: number, rows: number): void;
}

type ForkArguments = [
  file: string,
  args: string[],
  env: string[],
  cwd: string,
  cols: number,
  rows: number,
  uid: number,
  gid: number,
  utf8: boolean,
  helper: string,
  onExit: (code: number, signal: number) => void,
];

const sameUser = -1;

export type TerminalLaunch = Exclude<Launched, { kind: 'started' }> | Started;

interface Started extends Process {
  readonly kind: 'started';
  readonly terminal: Terminal;
}

export interface Terminals {
  /** Whether there is a module that can be loaded; loads it. */
  available(): boolean;
  /** @throws whatever the module does when the machine has no terminal left */
  launch(command: Command, born: Born): TerminalLaunch;
}

/** @param path `pty.node`; else it is looked for beside the program and among the installed packages */
export function createTerminals(path: string | undefined): Terminals {
  let loaded: { native: Native; helper: string } | undefined;
  const load = (): typeof loaded => {
    if (loaded) return loaded;
    const require = createRequire(import.meta.url);
    const places = path === undefined ? [...besideProgram(), `@lydell/node-pty-${process.platform}-${process.arch}/pty.node`] : [path];
    for (const place of places) {
      try {
        const file = require.resolve(place);
        loaded ??= { native: require(file) as Native, helper: join(dirname(file), 'spawn-helper') };
      } catch {
        // Not there, or not for this system: the next place.
      }
    }
    return loaded;
  };
  return {
    available: () => load() !== undefined,
    launch(command, born) {
      const module = load();
      return module ? forkOn(module, command, born) : { kind: 'failed', code: 'ENOSYS' };
    },
  };
}

function besideProgram(): string[] {
  const names = ['pty.node', `pty-${process.platform}-${process.arch}.node`]; // the second as the farm gives it out
  return names.map((name) => join(dirname(process.argv[1] ?? '.'), name));
}

/** What the module tells of a program that is not there is an exit like any other: so it is looked for first. */
function forkOn({ native, helper }: { native: Native; helper: string }, command: Command, born: Born): TerminalLaunch {
  const { argv, cwd, env, terminal: { cols, rows } = { cols: 80, rows: 24 } } = command;
  const file = findProgram(command);
  if (file.code !== undefined) return { kind: 'failed', code: file.code };
  const { promise: exited, resolve } = Promise.withResolvers<Exited>();
  const onExit = (code: number, signal: number): void =>
    resolve(signal === 0 ? { code, signal: null } : { code: null, signal: signalName(signal) });
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const { fd, pid } = born(() =>
    native.fork(file.path, argv.slice(1), variables, cwd, cols, rows, sameUser, sameUser, true, helper, onExit),
  );
  const terminal: Terminal = {
    open: (onread) => openWhole(fd, onread),
    resize: (size) => native.resize(fd, size.cols, size.rows),
  };
  return { kind: 'started', pid, exited, terminal };
}

/**
 * libuv takes a read that did not fill its buffer, with a hang-up behind it, for the end. A terminal gives less than was asked for though it
 * has more: so what is left is read here, until the kernel says that nothing is (EIO), before the descriptor is closed.
 */
function openWhole(fd: number, onread: OnReadOpts): ReadStream {
  const stream = new ReadStream(fd, { onread });
  const { resume, destroy, _destroy } = stream;
  let close: (() => void) | undefined; // while the rest is being read
  stream._destroy = (error, done) => {
    close = () => {
      close = undefined;
      _destroy.call(stream, error, done);
    };
    if (!stream.readableEnded || !readRest(fd, onread)) close();
  };
  stream.resume = () => {
    if (close && !readRest(fd, onread)) close();
    return resume.call(stream);
  };
  stream.destroy = (error) => {
    close?.(); // whoever reads gives up
    return destroy.call(stream, error);
  };
  return stream;
}

/** Until the reader has no room; false when all was read. */
function readRest(fd: number, { buffer, callback }: OnReadOpts): boolean {
  for (;;) {
    const target = typeof buffer === 'function' ? buffer() : buffer;
    const bytes = readOrEnd(fd, target);
    if (bytes === 0) return false;
    if (!callback(bytes, target)) return true;
  }
}

function readOrEnd(fd: number, target: Uint8Array): number {
  try {
    return readSync(fd, target);
  } catch {
    return 0; // EIO: nobody has the terminal open any more, and all is read
  }
}
