/**
 * Where a buildlet listens: a Unix socket in a directory that only its user may enter, a loopback address, or another address over TLS.
 * Without TLS that one would carry the password in the clear and is refused. buildlet.md 1.1 and 1.2.
 */
import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import { chmod, lstat, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Secret } from '@croft/runtime/config';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import { createServer } from '@croft/runtime/node-http';
import { gateServer } from './gate.ts';
import { isLoopback, shownAddress, type ListenAddress } from '../settings/addresses.ts';

export interface ListenOptions {
  /** An open address is served without TLS. */
  readonly insecure: boolean;
  /** PEM. */
  readonly tls?: { readonly cert: string; readonly key: Secret } | undefined;
  /** Within which the head of a request must have come, ms. Bodies and answers may take as long as they like. */
  readonly headMs?: number;
}

export const maxHeaderBytes = 16 * 1024;
const maxConnections = 1024;
const handshakeMs = 30_000;
const defaultHeadMs = 60_000;

/** @throws CroftError `invalid` for an address that is not safe, `conflict` when somebody else listens there */
export async function listen(address: ListenAddress, options: ListenOptions, onRequest: RequestListener): Promise<Server> {
  if (address.kind === 'unix') await prepareSocket(address.path);
  else if (!options.insecure && !options.tls && !isLoopback(address.host)) {
    throw new CroftError('invalid', `listen on ${address.host}: others could read the password on their way`, {
      hint: 'Set META_tls_cert and META_tls_key, or listen on a Unix socket (-listen unix:/path) or 127.0.0.1; --insecure-listen is for networks that are private to the farm.',
    });
  }
  const server = createFor(options, onRequest);
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

/** HTTP/1.1 alone, and nothing is offered beside it: `/exec` needs its trailers, `/connect-ssh` the whole connection. */
function createFor({ tls, headMs = defaultHeadMs }: ListenOptions, onRequest: RequestListener): Server {
  const limits = { maxHeaderSize: maxHeaderBytes, connectionsCheckingInterval: Math.ceil(headMs / 2) };
  const sockets = { keepAlive: true, keepAliveInitialDelay: 180_000, noDelay: true };
  const options = { ...limits, ...sockets, allowHalfOpen: true };
  const server = tls ? createTlsServer({ ...options, ...secured(tls) }, onRequest) : createServer(options, onRequest);
  Object.assign(server, { requestTimeout: 0, headersTimeout: headMs, keepAliveTimeout: 0, timeout: 0, maxConnections });
  gateServer(server, tls ? 'secureConnection' : 'connection', { maxHeadBytes: maxHeaderBytes, headMs });
  return server;
}

function secured({ cert, key }: NonNullable<ListenOptions['tls']>): object {
  return { cert, key: key.reveal(), minVersion: 'TLSv1.2', ALPNProtocols: [], handshakeTimeout: handshakeMs };
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
