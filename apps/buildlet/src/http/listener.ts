/**
 * Where a buildlet listens: a Unix socket in a directory that only its user may enter, or a loopback address. Another address
 * would carry the password in the clear and is refused.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import { chmod, lstat, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import { isLoopback } from './guard.ts';

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

const maxHeaderBytes = 16 * 1024;
const maxConnections = 1024;

/** @throws CroftError `invalid` for an address that is not safe, `conflict` when somebody else listens there */
export async function listen(address: ListenAddress, { insecure }: { insecure: boolean }, onRequest: RequestListener): Promise<Server> {
  if (address.kind === 'unix') await prepareSocket(address.path);
  else if (!insecure && !isLoopback(address.host)) {
    throw new CroftError('invalid', `listen on ${address.host}: others could read the password, for a buildlet has no TLS of its own`, {
      hint: 'Use a Unix socket (-listen unix:/path) or 127.0.0.1; --insecure-listen is for networks that are private to the farm.',
    });
  }
  const server = createServer({ maxHeaderSize: maxHeaderBytes, keepAlive: true, keepAliveInitialDelay: 180_000, noDelay: true }, onRequest);
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0, timeout: 0, maxConnections });
  server.listen(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port });
  try {
    await once(server, 'listening');
  } catch (error) {
    const taken = systemCode(error) === 'EADDRINUSE';
    throw new CroftError(taken ? 'conflict' : 'invalid', `listen on ${shownAddress(address)}: ${errorText(error)}`, {
      cause: error,
      ...(taken ? { hint: 'Another program listens there; stop it or choose another address.' } : {}),
    });
  }
  if (address.kind === 'unix') await chmod(address.path, 0o600);
  return server;
}

export function shownAddress(address: ListenAddress): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

async function prepareSocket(path: string): Promise<void> {
  const dir = dirname(path);
  const { mode, uid } = await lstat(dir).catch((cause: unknown) => {
    throw new CroftError('invalid', `listen on ${path}: its directory cannot be read`, { cause, hint: `Make it: mkdir -m 700 ${dir}` });
  });
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new CroftError('invalid', `listen on ${path}: other users can enter ${dir}`, { hint: `Close it: chmod 700 ${dir}` });
  }
  const there = await lstat(path).catch(() => undefined);
  if (!there) return;
  if (!there.isSocket()) throw new CroftError('conflict', `listen on ${path}: a file that is not a socket has that name`);
  if (await answers(path)) throw new CroftError('conflict', `listen on ${path}: another program listens there`);
  await rm(path); // left by a predecessor that was killed
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
