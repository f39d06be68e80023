/** A fresh TLS connection to the coordinator, for the control line and for each one that it asks for. buildlet.md 1.15. */
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { ReverseSettings } from '../settings/coordinator.ts';
import { askProxy, proxyFor, type Place } from './proxy.ts';

const connectMs = 10 * SECOND;
const handshakeMs = 30 * SECOND;
const keepAliveMs = 15 * SECOND;

export type Trust = Pick<ReverseSettings, 'coordinator' | 'ca' | 'insecureDev' | 'proxies'>;

/** @throws CroftError `unavailable`, with what failed; nothing stays open */
export async function dialCoordinator(trust: Trust, clock: Clock, { signal }: { signal: AbortSignal }): Promise<tls.TLSSocket> {
  const { host, port } = trust.coordinator;
  try {
    return await handshake(await reach(trust, clock, signal), trust, anySignal(signal, clock.deadline(handshakeMs)));
  } catch (error) {
    signal.throwIfAborted();
    throw new CroftError('unavailable', `dial the coordinator at ${host}:${port}: ${errorText(error)}`, { cause: error });
  }
}

/** Directly, and where that fails through the proxy of the environment. */
async function reach({ coordinator, proxies }: Trust, clock: Clock, signal: AbortSignal): Promise<Socket> {
  try {
    return await connectTo(coordinator, anySignal(signal, clock.deadline(connectMs)));
  } catch (error) {
    signal.throwIfAborted();
    const proxy = proxyFor(coordinator, proxies);
    if (!proxy) throw error;
    const limit = anySignal(signal, clock.deadline(connectMs));
    const socket = await connectTo(proxy, limit);
    try {
      await askProxy(socket, proxy, coordinator, { signal: limit });
      return socket;
    } catch (refused) {
      socket.destroy();
      throw refused;
    }
  }
}

async function connectTo({ host, port }: Place, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port, keepAlive: true, keepAliveInitialDelay: keepAliveMs, noDelay: true, allowHalfOpen: true });
  try {
    await once(socket, 'connect', { signal });
    return socket;
  } catch (error) {
    socket.on('error', () => {}).destroy();
    throw signal.aborted ? new CroftError('timeout', `connect to ${host}:${port}: no answer`, { cause: signal.reason }) : error;
  }
}

async function handshake(socket: Socket, trust: Trust, signal: AbortSignal): Promise<tls.TLSSocket> {
  const { insecureDev } = trust;
  const { host } = trust.coordinator;
  const secured = tls.connect({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    secureContext: contextOf(trust),
    rejectUnauthorized: !insecureDev,
  });
  try {
    await once(secured, 'secureConnect', { signal });
    return secured;
  } catch (error) {
    secured.on('error', () => {}).destroy();
    socket.destroy();
    throw signal.aborted ? new CroftError('timeout', 'the TLS handshake took too long', { cause: signal.reason }) : error;
  }
}

const contexts = new WeakMap<Trust, tls.SecureContext>();

/** The same for each connection: to read all authorities again takes longer than the handshake. */
function contextOf(trust: Trust): tls.SecureContext {
  const context = contexts.get(trust) ?? tls.createSecureContext({ ca: trust.ca ?? systemRoots(), minVersion: 'TLSv1.2' });
  contexts.set(trust, context);
  return context;
}

/** Whom Node trusts and, where it can tell, whom the system does. */
function systemRoots(): string[] {
  const all = (type: 'default' | 'system'): string[] => tls.getCACertificates?.(type) ?? [...tls.rootCertificates];
  return [...new Set([...all('default'), ...all('system')])];
}
