/** Who is connected to the door; who does not log in in time, or says too much before, is shown out. */
import type { Socket } from 'node:net';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Attempts } from '@croft/web/attempts';
import type { Metrics } from '../events.ts';
import type { Limit, Traffic } from './door-metrics.ts';

export interface Guests {
  /** @throws CroftError `exhausted` when there are too many, or too many logins from there have failed */
  admit(socket: Socket): void;
  /** Has logged in. */
  known(socket: Socket): void;
  endAll(): void;
  traffic(): Traffic;
}

const loginGraceMs = 30 * SECOND;
const maxConnections = 1_000;
/** Of one address, not logged in. */
const maxStrangers = 20;
/** Before somebody has logged in: what they are answered waits in memory for as long as they do not read. */
const maxStrangeBytes = 256 * 1024;

export function createGuests(attempts: Attempts, { clock, metrics: { ssh } }: { clock: Clock; metrics: Pick<Metrics, 'ssh'> }): Guests {
  const all = new Set<Socket>();
  const strangers = new Map<Socket, string>();
  const past = { received: 0, sent: 0 };
  const limited = (limit: Limit, check: () => void): void => {
    try {
      check();
    } catch (error) {
      ssh.limited(limit);
      throw error;
    }
  };
  return {
    admit(socket) {
      const from = addressOf(socket);
      limited('logins', () => attempts.check(from));
      limited('connections', () => {
        const alike = [...strangers.values()].filter((address) => address === from).length;
        if (all.size >= maxConnections || alike >= maxStrangers) throw new CroftError('exhausted', 'too many SSH connections at once');
      });
      all.add(socket);
      strangers.set(socket, from);
      const showOut = (limit: Limit): void => {
        if (!strangers.delete(socket)) return;
        ssh.limited(limit);
        socket.destroy();
      };
      clock.deadline(loginGraceMs).addEventListener('abort', () => showOut('time'), { once: true });
      socket.on('data', () => socket.bytesRead > maxStrangeBytes && showOut('bytes'));
      socket.once('close', () => {
        all.delete(socket);
        strangers.delete(socket);
        past.received += socket.bytesRead;
        past.sent += socket.bytesWritten;
      });
    },
    known: (socket) => void strangers.delete(socket),
    endAll() {
      for (const socket of all) socket.destroy();
    },
    traffic() {
      const sum = { ...past };
      for (const { bytesRead, bytesWritten } of all) {
        sum.received += bytesRead;
        sum.sent += bytesWritten;
      }
      return { strangers: strangers.size, guests: all.size - strangers.size, ...sum };
    },
  };
}

export function addressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress.replace(/^::ffff:/, '');
}
