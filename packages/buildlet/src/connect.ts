/**
 * Connections to a buildlet, however it is reached. One over TLS is given only after the other end has proven who it is: nothing, and
 * no password above all, is written before.
 */
import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { CroftError } from '@croft/runtime/errors';
import type { BuildletAddress, BuildletTls } from './address.ts';

const defaultHost = '127.0.0.1';
const defaultPort = 80;
const keepAliveMs = 15_000;

export interface Connecting {
  /** Ends the attempt; a connection that stands is left alone. */
  readonly signal: AbortSignal;
  /** Where to read to instead of the stream, on connections to a socket or an address. */
  readonly onread?: OnReadOpts | undefined;
}

/** @throws whatever the system or the one who dials says; an abort leaves nothing open */
export async function connectTo(address: BuildletAddress, { signal, onread }: Connecting): Promise<Duplex> {
  if (address.dial) return address.dial({ signal });
  const { socketPath, host = defaultHost, port = defaultPort, tls } = address;
  const place = socketPath === undefined ? { host, port } : { path: socketPath };
  const options = { ...place, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs, ...(onread && { onread }) };
  if (!tls || socketPath !== undefined) return settled(connectTcp(options), 'connect', signal);
  const socket = connectTls({ ...options, ...trusting(tls, host), minVersion: 'TLSv1.2' });
  await settled(socket, 'secureConnect', signal);
  if ('pinned' in tls) checkPinned(socket, tls.pinned);
  return socket;
}

function trusting(tls: BuildletTls, host: string): ConnectionOptions {
  const servername = isIP(host) ? '' : host;
  if ('pinned' in tls) return { rejectUnauthorized: false, servername };
  if (!('unverified' in tls)) return { ...(tls.ca !== undefined && { ca: tls.ca }), servername: tls.serverName ?? servername };
  if (/^(localhost|127(\.\d+){3}|::1)$/.test(host)) return { rejectUnauthorized: false, servername };
  throw new CroftError('invalid', `TLS to ${host} must be verified: only on loopback anybody may answer`, {
    hint: 'Name the certificate of its authority.',
  });
}

async function settled<S extends Socket>(socket: S, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => void socket.destroy(signal.reason as Error);
  const onClose = (): void => reject(new Error('the connection was closed before it stood'));
  socket.once(event, resolve).once('error', reject).once('close', onClose);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.off('error', reject).off('close', onClose);
  }
}

/** Chain, name and dates do not matter: the key is the machine's own, made for it. */
function checkPinned(socket: TLSSocket, pinned: string): void {
  const wrong = whyNotPinned(socket.getPeerX509Certificate(), new X509Certificate(pinned));
  if (wrong === undefined) return;
  socket.destroy();
  throw new Error(wrong);
}

/** The texts are those of Go's client. */
function whyNotPinned(peer: X509Certificate | undefined, ours: X509Certificate): string | undefined {
  if (!peer) return 'no server peer certificate';
  const kind = peer.publicKey.asymmetricKeyType;
  if (kind !== 'rsa' && kind !== ours.publicKey.asymmetricKeyType) return `peer cert was a ${kind}; expected RSA`;
  return peer.publicKey.equals(ours.publicKey) ? undefined : 'unexpected TLS certificate';
}
