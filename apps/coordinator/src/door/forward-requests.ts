/** What a client asks of a connection beside its session channels: ports of the machine, and ports there that lead to the client. */
import type { Connection } from 'ssh2';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Forwards } from './forwards.ts';

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
  connection.on('request', (accept: Accept, reject: (() => void) | undefined, name, info) => {
    if (!isOpen()) return reject?.();
    if (name === 'tcpip-forward' && 'bindPort' in info)
      return orReject('listen', reject, async () => accept?.(await forwards.listen(info.bindAddr, info.bindPort, { signal: gone })));
    if (name === 'cancel-tcpip-forward' && 'bindPort' in info)
      return orReject('unlisten', reject, async () => ((await forwards.unlisten(info.bindAddr, info.bindPort)) ? accept?.() : reject?.()));
    reject?.();
  });
}
