/** What the SSH door counts, for whoever watches the farm. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface DoorMetrics {
  /** As the audit trail has them; `none` where a client left without having offered a key. */
  login(result: 'accepted' | 'refused' | 'none', method: LoginMethod): void;
  channel(kind: ChannelKind): void;
  /** Something was refused because there was too much of it. */
  limited(limit: Limit): void;
  /** Somebody who had come in did not get through to their machine. */
  unreached(): void;
  /** Asked each time the metrics are read. */
  observe(read: () => Traffic): void;
}

export type LoginMethod = 'key' | 'certificate' | 'none';
export type ChannelKind = 'shell' | 'command' | 'sftp' | 'connect' | 'listen' | 'agent';
/** `connections` and `logins` of one address or of all; `tries` and `channels` of one connection; `time` and `bytes` until somebody has logged in. */
export type Limit = 'connections' | 'logins' | 'tries' | 'channels' | 'time' | 'bytes';

export interface Traffic {
  /** Connections that have not logged in, and those that have. */
  readonly strangers: number;
  readonly guests: number;
  /** Bytes on the wire since the start. */
  readonly received: number;
  readonly sent: number;
}

export function countDoor(registers: Registry[]): DoorMetrics {
  let read = (): Traffic => ({ strangers: 0, guests: 0, received: 0, sent: 0 });
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> =>
    new Counter({ name: `croft_ssh_${name}`, help, labelNames, registers });
  const logins = counter('logins_total', 'logins, by result and method', ['result', 'method']);
  const channels = counter('channels_total', 'what was begun over a connection, by kind', ['kind']);
  const limits = counter('limited_total', 'what was refused because there was too much of it, by limit', ['limit']);
  const unreached = counter('unreached_total', 'shells, commands and SFTP that did not get through to their machine', []);
  new Gauge({
    name: 'croft_ssh_connections',
    help: 'open connections: of strangers, who have not logged in, and of guests',
    labelNames: ['of'],
    registers,
    collect() {
      const { strangers, guests } = read();
      this.set({ of: 'strangers' }, strangers);
      this.set({ of: 'guests' }, guests);
    },
  });
  new Counter({
    name: 'croft_ssh_bytes_total',
    help: 'bytes on the wire, by direction',
    labelNames: ['direction'],
    registers,
    collect() {
      const { received, sent } = read();
      this.reset();
      this.inc({ direction: 'received' }, received);
      this.inc({ direction: 'sent' }, sent);
    },
  });
  return {
    login: (result, method) => logins.inc({ result, method }),
    channel: (kind) => channels.inc({ kind }),
    limited: (limit) => limits.inc({ limit }),
    unreached: () => unreached.inc(),
    observe: (reader) => void (read = reader),
  };
}
