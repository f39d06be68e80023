/**
 * One buildlet for each state directory, on every Node from 20 on. What holds the lock belongs to the kernel, so kill -9 frees it.
 * Node can take no lock on a file on Linux, but it can own a name there: of an abstract socket, which exists while its process lives.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';

/** @throws CroftError `conflict` while another buildlet holds the directory */
export async function lockStateDir(dir: string): Promise<AsyncDisposable> {
  try {
    if (process.platform === 'linux') return await holdSockets(dir);
    return process.platform === 'win32' ? await ownName(pipeName(await identity(dir))) : await holdFile(join(dir, 'lock'));
  } catch (error) {
    throw new CroftError('conflict', `lock the state directory ${dir}: ${errorText(error)}`, {
      cause: error,
      hint: 'Another buildlet serves this directory. Stop it, or give this one a --state-dir of its own.',
    });
  }
}

/**
 * An abstract name is known in one network namespace only. Containers that share a directory find each other by a socket in it;
 * whoever replaces the one that a dead buildlet left does so under the name, and so alone among its neighbours.
 */
async function holdSockets(dir: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  stack.use(await ownName(`\0croft-buildlet-${await identity(dir)}`));
  const handle = await open(dir);
  stack.defer(() => handle.close());
  const path = `/proc/self/fd/${handle.fd}/holder`; // the path of a socket has at most 107 bytes
  if (await isListening(path)) throw new Error('a process in another network namespace holds it');
  await rm(path, { force: true });
  stack.use(await ownName(path));
  return stack.move();
}

/** The same for every path that leads there. */
async function identity(dir: string): Promise<string> {
  const { dev, ino } = await stat(dir, { bigint: true });
  return `${dev}-${ino}`;
}

function pipeName(id: string): string {
  return `\\\\.\\pipe\\croft-buildlet-${createHash('sha256').update(id).digest('hex').slice(0, 32)}`;
}

/** Listens there and says nothing. @throws the system's error, EADDRINUSE when the name is taken */
async function ownName(name: string): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  server.listen(name).unref();
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

async function isListening(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    return !['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].includes(systemCode(error) ?? '');
  } finally {
    socket.destroy();
  }
}

/** `O_EXLOCK` of macOS and the BSDs, for which Node has no name: opens and locks in one step. */
const exclusiveLock = 0x20;

async function holdFile(path: string): Promise<AsyncDisposable> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | exclusiveLock;
  const handle = await open(path, flags, 0o600);
  return { [Symbol.asyncDispose]: () => handle.close() };
}
