/** What a client asks of a connection beside its session channels: ports and sockets of the machine, and those there that lead to the client. */
import type { Connection } from 'ssh2';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { ForwardPlace, Forwards } from './forwards.ts';

export interface ForwardRequestDeps {
  readonly forwards: Forwards;
  /** Whether this client may have one more. */
  isOpen(): boolean;
  keep(task: () => Promise<void>): void;
  readonly gone: AbortSignal;
  readonly log: Log;
}

type Accept = ((port?: number) => void) | undefined;

export function serveForwardRequests(connection: Connection, { forwards, isOpen, keep, gone, log }: ForwardRequestDeps): void {
  /** The client is told no more than that: the protocol has no word for why. */
  const orReject = (what: string, reject: (() => void) | undefined, task: () => Promise<void>): void =>
    keep(async () => {
      try {
        await task();
      } catch (error) {
        log.info('ssh forwarding refused', { what, why: errorText(error) });
        if (!gone.aborted) reject?.();
      }
    });
  connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
    if (!isOpen()) return reject();
    orReject('connect', reject, () => forwards.connect({ host: destIP, port: destPort }, accept, { signal: gone }));
  });
  connection.on('openssh.streamlocal', (accept, reject, { socketPath: path }) => {
    if (!isOpen()) return reject();
    orReject('connect', reject, () => forwards.connect({ path }, accept, { signal: gone }));
  });
  connection.on('request', (accept: Accept, reject: (() => void) | undefined, name, info) => {
    if (!isOpen()) return reject?.();
    const place = placeOf(info);
    if (!place || !/^(?:cancel-)?(?:tcpip-forward|streamlocal-forward@openssh\.com)$/.test(name)) return reject?.();
    if (name.startsWith('cancel-'))
      return orReject('unlisten', reject, async () => ((await forwards.unlisten(place)) ? accept?.() : reject?.()));
    orReject('listen', reject, async () => accept?.(await forwards.listen(place, { signal: gone })));
  });
}

function placeOf(info: object | null): ForwardPlace | undefined {
  if (info && 'bindPort' in info) {
    const { bindAddr: host, bindPort: port } = info as { bindAddr: string; bindPort: number };
    return { host, port };
  }
  return info && 'socketPath' in info ? { path: String(info.socketPath) } : undefined;
}
