/**
 * What the coordinator tells those who watch it: every metric with its meaning and unit, and every log message. Labels have few
 * values; ids go to the log.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { bands, type Band } from '@croft/domain/job';
import type { EndKind } from '@croft/domain/outcome';
import type { Clock } from '@croft/runtime/clock';
import type { Engine } from '@croft/store/database';

export interface Metrics {
  /** One attempt has ended so. */
  attemptEnded(kind: EndKind): void;
  /** One build has ended so for good. */
  buildEnded(kind: EndKind): void;
  logStored(bytes: number): void;
  databaseWrite(seconds: number): void;
  httpRequest(request: { method: string; route: string; status: number; seconds: number }): void;
  /** Asked for the present state each time the metrics are read. */
  observe(read: () => Promise<Observed>): void;
  /** Prometheus text. */
  text(): Promise<string>;
}

export interface Observed {
  /** Waiting builds. */
  readonly queue: Readonly<Partial<Record<Band, number>>>;
  readonly machines: Readonly<Partial<Record<(typeof machineStates)[number], number>>>;
}

const machineStates = ['ready', 'busy', 'away', 'gone'] as const;

export function createMetrics(): Metrics {
  const registers = [new Registry()];
  const register = registers[0] as Registry;
  const builds = new Counter({ name: 'croft_builds_ended_total', help: 'builds that reached their end, by end', labelNames: ['end'], registers });
  const attempts = new Counter({ name: 'croft_attempts_ended_total', help: 'attempts that ended, by end', labelNames: ['end'], registers });
  const logBytes = new Counter({ name: 'croft_log_bytes_total', help: 'bytes of build output stored', registers });
  const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
  const writes = new Histogram({ name: 'croft_database_write_seconds', help: 'from asking for a write to its being durable, s', buckets, registers });
  const requestLabels = ['method', 'route', 'status'] as const;
  const requests = new Histogram({ name: 'croft_http_request_seconds', help: 'until the head of the answer, s, by route pattern', labelNames: requestLabels, buckets, registers });
  const queue = new Gauge({ name: 'croft_queue_builds', help: 'builds that wait, by band', labelNames: ['band'], registers });
  const machines = new Gauge({ name: 'croft_machines', help: 'machines, by state', labelNames: ['state'], registers });
  let read: () => Promise<Observed> = async () => ({ queue: {}, machines: {} });
  return {
    attemptEnded: (end) => attempts.inc({ end }),
    buildEnded: (end) => builds.inc({ end }),
    logStored: (bytes) => logBytes.inc(bytes),
    databaseWrite: (seconds) => writes.observe(seconds),
    httpRequest: ({ method, route, status, seconds }) => requests.observe({ method, route, status: `${Math.floor(status / 100)}xx` }, seconds),
    observe(reader) {
      read = reader;
    },
    async text() {
      const seen = await read();
      for (const band of bands) queue.set({ band }, seen.queue[band] ?? 0);
      for (const state of machineStates) machines.set({ state }, seen.machines[state] ?? 0);
      return register.metrics();
    },
  };
}

/** The same database, its writes measured. */
export function countWrites<Port extends Pick<Engine, 'read' | 'write'>>(database: Port, metrics: Metrics, clock: Clock): Port {
  return {
    ...database,
    async write<T>(work: Parameters<typeof database.write<T>>[0]) {
      const startedAt = clock.monotonic();
      const result = await database.write(work);
      metrics.databaseWrite((clock.monotonic() - startedAt) / 1_000);
      return result;
    },
  };
}
