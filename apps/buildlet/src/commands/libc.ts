/**
 * The few calls of the C library that Node has no function for, through `node:ffi` (Node 26, experimental): pipe2, posix_spawn and
 * wait4. Linux on 64 bits only; whoever opens this proves first that it works here.
 */
import type * as Ffi from 'node:ffi';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { bytesOfText } from './byte-text.ts';
import { signalName, type Exited } from './command.ts';

const O_CLOEXEC = 0o2000000;
const WNOHANG = 1;
const SETSIGDEF = 0x04;
const SETSIGMASK = 0x08;
const SETPGROUP = 0x02;
const SETSID = 0x80;
/** More than any C library needs for its attributes, file actions, signal set and rusage. */
const structBytes = 1024;
/** One bit for each signal of the kernel. */
const signalSetBytes = 8;
const pointerBytes = 8;
const noPointer = 0n;
/** Of UTF-8 for one unit of a string, at most. */
const bytesOfUnit = 3;
/** What most tables of arguments and variables fit into. */
const tableBytes = 16 * 1024;

export interface SpawnPlace {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Becomes the command's stdin; the null device when absent. */
  readonly inputFd?: number | undefined;
  /** Becomes the command's stdout. */
  readonly outputFd: number;
  /** Becomes the command's stderr. */
  readonly errorFd: number;
}

export interface Libc {
  /** Both ends are closed in every program that is started. @throws an error with the system's code */
  pipe(): { readonly readFd: number; readonly writeFd: number };
  /** The pid, or the system's code for why there is none. */
  spawn(path: string, argv: readonly string[], place: SpawnPlace): number | string;
  /** How this child ended; undefined while it runs. Never waits, and asks about no other child. */
  ended(pid: number): Exited | undefined;
}

export interface LibcOptions {
  /** Commands get a session of their own, which costs much where the kernel shares the processors out by session; else a process group. */
  readonly ownSession: boolean;
}

/** Undefined where this Node or this system does not have it. */
export function loadLibc(options: LibcOptions): Libc | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch) || endianness() !== 'LE') return undefined;
  try {
    const ffi = loadFfi();
    return ffi && bind(ffi, options);
  } catch {
    return undefined; // not allowed (permission model), or a C library without one of these
  }
}

/** Says nothing of being experimental: there is another way behind it, and its self-check decides. */
export function loadFfi(): typeof Ffi | undefined {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

function bind(ffi: typeof Ffi, { ownSession }: LibcOptions): Libc {
  const { functions: c, lib } = ffi.dlopen(null, {
    pipe2: { arguments: ['pointer', 'i32'], return: 'i32' },
    posix_spawn: { arguments: ['pointer', 'pointer', 'pointer', 'pointer', 'pointer', 'pointer'], return: 'i32' },
    posix_spawn_file_actions_init: { arguments: ['pointer'], return: 'i32' },
    posix_spawn_file_actions_adddup2: { arguments: ['pointer', 'i32', 'i32'], return: 'i32' },
    posix_spawn_file_actions_addopen: { arguments: ['pointer', 'i32', 'pointer', 'i32', 'u32'], return: 'i32' },
    posix_spawn_file_actions_addchdir_np: { arguments: ['pointer', 'pointer'], return: 'i32' },
    posix_spawn_file_actions_destroy: { arguments: ['pointer'], return: 'i32' },
    posix_spawnattr_init: { arguments: ['pointer'], return: 'i32' },
    posix_spawnattr_setflags: { arguments: ['pointer', 'i16'], return: 'i32' },
    posix_spawnattr_setsigmask: { arguments: ['pointer', 'pointer'], return: 'i32' },
    posix_spawnattr_setsigdefault: { arguments: ['pointer', 'pointer'], return: 'i32' },
    wait4: { arguments: ['i32', 'pointer', 'i32', 'pointer'], return: 'i32' },
  });
  const closeFrom = optional(() =>
    lib.getFunction('posix_spawn_file_actions_addclosefrom_np', { arguments: ['pointer', 'i32'], return: 'i32' }),
  );
  const struct = (): Buffer => Buffer.alloc(structBytes);
  const [attributes, actions, none, all, result, usage] = [struct(), struct(), struct(), struct(), struct(), struct()];
  const devNull = cString('/dev/null');
  all.fill(0xff, 0, signalSetBytes); // not by sigfillset(3), which leaves out two that the library then has ignored
  c.posix_spawnattr_init(attributes);
  c.posix_spawnattr_setflags(attributes, SETSIGDEF | SETSIGMASK | (ownSession ? SETSID : SETPGROUP));
  c.posix_spawnattr_setsigmask(attributes, none);
  c.posix_spawnattr_setsigdefault(attributes, all);

  const makeTable = (): Table => createTable((buffer) => ffi.getRawPointer(buffer));
  const [argTable, variableTable] = [makeTable(), makeTable()];
  return {
    pipe() {
      if (c.pipe2(result, O_CLOEXEC) !== 0) throw Object.assign(new Error('make a pipe: too many files are open'), { code: 'EMFILE' });
      return { readFd: result.readInt32LE(0), writeFd: result.readInt32LE(4) };
    },
    spawn(path, argv, { cwd, env, inputFd, outputFd, errorFd }) {
      const args = argTable(argv);
      const variables = variableTable(Object.entries(env).map(([name, value]) => `${name}=${value}`));
      if (!args || !variables || path.includes('\0') || cwd.includes('\0')) return 'EINVAL';
      const [file, dir] = [cString(path), cString(cwd)];
      c.posix_spawn_file_actions_init(actions);
      c.posix_spawn_file_actions_addchdir_np(actions, dir);
      if (inputFd === undefined) c.posix_spawn_file_actions_addopen(actions, 0, devNull, 0, 0);
      else c.posix_spawn_file_actions_adddup2(actions, inputFd, 0);
      c.posix_spawn_file_actions_adddup2(actions, outputFd, 1);
      c.posix_spawn_file_actions_adddup2(actions, errorFd, 2);
      closeFrom?.(actions, 3); // Node's own close themselves; those that were open when it was started would not
      const error = c.posix_spawn(result, file, actions, attributes, args, variables);
      c.posix_spawn_file_actions_destroy(actions);
      return error === 0 ? result.readInt32LE(0) : getSystemErrorName(-error);
    },
    ended(pid) {
      return c.wait4(pid, result, WNOHANG, usage) === pid ? exitedOf(result.readInt32LE(0), usage) : undefined;
    },
  };
}

function optional<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch {
    return undefined; // musl, and glibc before 2.34
  }
}

/** Makes `char *[]`, ended by a null, good until the next call; undefined when one of the texts holds a NUL. */
type Table = (texts: readonly string[]) => Buffer | undefined;

/** The strings lie behind their pointers in the same memory, which is used again: one of their own for each took much longer. */
function createTable(addressOf: (buffer: Buffer) => bigint): Table {
  const allocate = (words: number): { bytes: Buffer; pointers: BigUint64Array; base: bigint } => {
    const bytes = Buffer.allocUnsafeSlow(words * pointerBytes);
    return { bytes, pointers: new BigUint64Array(bytes.buffer), base: addressOf(bytes) };
  };
  const own = allocate(tableBytes / pointerBytes);
  return (texts) => {
    const text = texts.length === 0 ? '' : `${texts.join('\0')}\0`;
    const headBytes = (texts.length + 1) * pointerBytes;
    const neededBytes = headBytes + text.length * bytesOfUnit;
    const { bytes, pointers, base } = neededBytes <= tableBytes ? own : allocate(Math.ceil(neededBytes / pointerBytes));
    const end = headBytes + (text.isWellFormed() ? bytes.write(text, headBytes) : bytesOfText(text).copy(bytes, headBytes));
    let at = headBytes;
    for (let index = 0; index < texts.length; index += 1) {
      pointers[index] = base + BigInt(at);
      at = bytes.indexOf(0, at) + 1;
    }
    pointers[texts.length] = noPointer;
    return at === end ? bytes : undefined;
  };
}

function cString(text: string): Buffer {
  return bytesOfText(`${text}\0`);
}

/** The status of wait(2), and of `struct rusage` on 64 bits: two times as seconds and microseconds, then the peak in KiB. */
function exitedOf(status: number, usage: Buffer): Exited {
  const number = status & 0x7f;
  const timeMs = (at: number): number => Number(usage.readBigInt64LE(at)) * 1_000 + Number(usage.readBigInt64LE(at + 8)) / 1_000;
  return {
    code: number === 0 ? (status >> 8) & 0xff : null,
    signal: number === 0 ? null : signalName(number),
    coreDumped: (status & 0x80) !== 0,
    usage: { cpuMs: Math.round(timeMs(0) + timeMs(16)), peakBytes: Number(usage.readBigInt64LE(32)) * 1024 },
  };
}
