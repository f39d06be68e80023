/**
 * What the coordinator tells those who watch it: every metric with its meaning and unit, and every log message. Labels have few
 * values; ids go to the log.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { bands, type Band } from '@croft/domain/job';
import type { EndKind } from '@croft/domain/outcome';
import type { SessionState } from '@croft/domain/session';
import type { Clock } from '@croft/runtime/clock';
import type { Engine } from '@croft/store/database';
import { countDoor, type DoorMetrics } from './door/door-metrics.ts';

export interface Metrics {
  /** One attempt has ended so. */
  attemptEnded(kind: EndKind): void;
  /** One build has ended so for good. */
  buildEnded(kind: EndKind): void;
  logStored(bytes: number): void;
  /** The operator's file was read again and has so many mistakes. */
  configurationRead(mistakes: number): void;
  databaseWrite(seconds: number): void;
  readonly ssh: DoorMetrics;
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
  readonly sessions: Readonly<Partial<Record<SessionState['kind'], number>>>;
}

const sessionStates = ['waiting', 'preparing', 'active', 'ending'] as const;
const machineStates = ['ready', 'busy', 'away', 'gone'] as const;

export function createMetrics(): Metrics {
  const registers = [new Registry()];
  const register = registers[0] as Registry;
  const builds = new Counter({
    name: 'croft_builds_ended_total',
    help: 'builds that reached their end, by end',
    labelNames: ['end'],
    registers,
  });
  const attempts = new Counter({ name: 'croft_attempts_ended_total', help: 'attempts that ended, by end', labelNames: ['end'], registers });
  const configuration = countReads(registers);
  const logBytes = new Counter({ name: 'croft_log_bytes_total', help: 'bytes of build output stored', registers });
  const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
  const writes = new Histogram({
    name: 'croft_database_write_seconds',
    help: 'from asking for a write to its being durable, s',
    buckets,
    registers,
  });
  const requestLabels = ['method', 'route', 'status'] as const;
  const requests = new Histogram({
    name: 'croft_http_request_seconds',
    help: 'until the head of the answer, s, by route pattern',
    labelNames: requestLabels,
    buckets,
    registers,
  });
  const queue = new Gauge({ name: 'croft_queue_builds', help: 'builds that wait, by band', labelNames: ['band'], registers });
  const machines = new Gauge({ name: 'croft_machines', help: 'machines, by state', labelNames: ['state'], registers });
  const sessions = new Gauge({
    name: 'croft_sessions',
    help: 'machines that people borrow or wait for, by state',
    labelNames: ['state'],
    registers,
  });
  let read: () => Promise<Observed> = async () => ({ queue: {}, machines: {}, sessions: {} });
  return {
    attemptEnded: (end) => attempts.inc({ end }),
    buildEnded: (end) => builds.inc({ end }),
    logStored: (bytes) => logBytes.inc(bytes),
    configurationRead: configuration,
    databaseWrite: (seconds) => writes.observe(seconds),
    ssh: countDoor(registers),
    httpRequest: ({ method, route, status, seconds }) =>
      requests.observe({ method, route, status: `${Math.floor(status / 100)}xx` }, seconds),
    observe(reader) {
      read = reader;
    },
    async text() {
      const seen = await read();
      for (const band of bands) queue.set({ band }, seen.queue[band] ?? 0);
      for (const state of sessionStates) sessions.set({ state }, seen.sessions[state] ?? 0);
      for (const state of machineStates) machines.set({ state }, seen.machines[state] ?? 0);
      return register.metrics();
    },
  };
}

function countReads(registers: Registry[]): Metrics['configurationRead'] {
  const reads = new Counter({
    name: 'croft_config_reads_total',
    help: 'times that the changed configuration was read, by result: loaded or refused',
    labelNames: ['result'],
    registers,
  });
  const standing = new Gauge({
    name: 'croft_config_mistakes',
    help: 'mistakes in the configuration as it stands; above 0 an older one holds',
    registers,
  });
  return (mistakes) => {
    reads.inc({ result: mistakes === 0 ? 'loaded' : 'refused' });
    standing.set(mistakes);
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

/** Log messages of the coordinator and of the rooms that log through it, each with what it means. */
export const logMessages = {
  'file not transferred': 'an upload or download of Go’s gomote failed at the farm, which the client was told; field error',
  'gomote request failed': 'a bug met one request of Go’s gomote, which the client was told; field error',
  'machine not lent to gomote': 'what Go’s gomote asked for got no machine; fields who, builder, error',
  'machine not reached for gomote': 'a request of Go’s gomote did not get through to its machine; fields session, error',
  'no terminal': 'a page asked for a terminal and went away before it had one; field error',
  'terminal failed':
    'the line between a page and a shell broke where it should not; the page comes back to the shell, which goes on; fields task, run',
  'anybody may read': 'the settings let whoever reaches this open address read builds and logs without a token',
  'output not acknowledged': 'a machine did not take note of what is stored of its output; it keeps more in its spool than it must',
  'abandoned run not cancelled': 'a machine whose run was ended here did not take the cancel either; its next attempt kills it',
  'artifact not kept': 'what a build left behind could not be brought here or stored; fields build, artifact',
  'artifacts removed by retention': 'artifacts older or larger than their builder keeps, and blobs that nothing needs any more',
  'cache not restored': 'a build began without what earlier ones handed on; fields build, cache',
  'cache not saved': 'a build passed and what it hands on could not be stored; fields build, cache',
  'attempt ended': 'an attempt has its end; fields build, attempt, end',
  'attempt given up': 'its machine or its driver is gone; the attempt ends infra',
  'attempt taken over': 'work of an earlier process goes on under this one',
  'attempt neither taken over nor given up': 'one running attempt could not be moved; it is tried again at the next sweep',
  'attempts left to the next start': 'the farm ended while nothing could be stored; the next start takes them over',
  'background work failed, trying again': 'one pass of a loop of the farm met an error; field task',
  'background work stopped': 'a loop of the farm ended by an error; restart the coordinator and report it',
  'body broken off': 'an answer was cut short; the reader sees a broken connection',
  'build driver failed': 'a bug met one build; its attempt ends infra(internal)',
  'build not assigned, trying again': 'one assignment of a plan could not be stored; fields build, machine',
  'builds queued': 'new work was found in a repository',
  'cancelling a run failed': 'a buildlet did not take a cancel; its lease ends anyway',
  'change refused': 'somebody asked for what they may not do; fields who, what, target, from, why',
  'checkpoint failed; it is tried again later': 'the database file grows until it succeeds',
  'configuration loaded': 'the changed configuration holds; fields changes, and restart: settings that hold from the next start on',
  'configuration refused': 'the changed configuration has mistakes, the one before holds; fields mistakes, count',
  'database connection lost': 'PostgreSQL closed an idle connection; the next statement opens another',
  'driver failed and is started again': 'the driver of one build met an error and repeats from what is stored',
  'driver lost its lease': 'another coordinator has taken over; this one stops writing',
  'driver stopped': 'the task of a driver ended by an error that it did not handle',
  'end of a run decided without its machine': 'a machine kept to no limit or ignored a cancel; fields run, machine, exit',
  'event stream failed': 'a page or program lost its live line and comes back',
  'files of a machine not deleted':
    'what a container left could not be removed; it is tried again with the next machine of that name; fields task, error',
  'image not pulled': 'a bug met the pulling of an image; it is tried again; fields image, error',
  'image pulled': 'the Docker daemon has an image now that a pool waited for; field image',
  'keys from GitHub not read': 'the last answer counts for an hour; fields login, error',
  'last output left to the next driver': 'a driver let go and could not note what it had brought in last; it is brought in again',
  'line ended': 'a machine that had dialled in is not connected any more; fields machine, why',
  'listener failed': 'the HTTP listener met a system error and goes on',
  'lock connection lost': 'PostgreSQL dropped the lock; another coordinator may start',
  'log of a service not kept': 'what a program beside the steps wrote could not be brought here or stored; fields build, service',
  'logs removed by retention': 'logs older or larger than their builder keeps',
  'machine dialled in': 'a machine of a reverse pool is connected; fields machine, from, version, peer',
  'machine failed its self-test': 'it takes no work until it passes, and is asked again after 5 min; fields machine, failed',
  'machine not tested': 'it did not answer when it was asked to test itself; it is asked again after a minute; fields machine, error',
  'machine not ended': 'a machine that is not trusted any more did not take /halt; its line is cut; fields machine, error',
  'machine not received': 'its line broke before it was taken over; fields from, error',
  'machine refused': 'a machine that dialled in was not let in; fields hostType, host, from, why',
  'machine lost': 'nothing was heard from it for 15 s, or its process is gone; fields machine, evidence',
  'machine not reached': 'one ping failed; the machine is not lost yet',
  'machine replaced': 'the pool ended a machine and starts another; fields machine, why',
  'machine started': 'the pool started a machine; fields machine, pid',
  'orphan removed': 'a container of this farm that no pool has any more was removed with all that ran in it',
  'output cannot be stored, waiting': 'the disk is full or the database is gone; output stays on the workers until it can be stored',
  'pool not reconciled': 'a pool could not be looked at; it is looked at again',
  'repository not read': 'a fetch failed; it is tried again at the next poll, at the latest after a minute',
  'request failed': 'a bug met one request; the caller was shown the id',
  'request handler failed': 'a bug met one request before errors are handled',
  'run not told': 'a command entered by SSH was not reached with a signal, a size or its end; fields run, error',
  'runs left for the next attempt to collect': 'a buildlet was not reached when its runs were to be removed',
  'session got no machine, trying again': 'one loan of a plan could not be stored; fields session, machine',
  'sessions removed by retention': 'sessions that ended longer ago than `sessions.keepMs`; field removed',
  'session not brought forward, trying again': 'its machine does not answer, or nothing can be stored; fields session, error',
  'machine not cleaned': 'it was not clean a minute after a session had ended, and is made anew; fields machine, session, error',
  'scheduling failed, trying again': 'one pass over the queue met an error',
  'schema migrated': 'the database has a new version; fields version, title',
  'shell not collected': 'the output of a shell that has ended still lies on its machine; it goes when the session ends; fields run, error',
  'shell not hung up': 'its client said goodbye and it may go on; it ends with its session; fields run, error',
  'spool not removed': 'what was kept of the output of a command on a buildlet of Go could not be deleted; field error',
  'ssh channel failed': 'something that was asked for over SSH was refused or lost, and its client was told why; field error',
  'ssh connection failed': 'a client of the SSH door broke off or spoke nonsense; fields from, error',
  'ssh connection refused': 'too many connections or failed logins from there; fields from, why',
  'ssh door opened': 'people can come in; fields host, port',
  'ssh forwarding lost': 'a port or agent of a client is not reached from its machine any more; field error',
  'ssh forwarding refused': 'a port that a client asked for; fields what, why',
  'ssh login failed': 'a bug met one login; field error',
  'ssh work stopped': 'a bug met one connection of the SSH door; fields task, error',
  'status not understood': 'a machine told something over its line that is no status; field machine',
  'terminal not resized': 'a shell kept its old size; fields run, error',
  'waiting builds ended': 'the configuration does not want them any more, they are skipped; field builds',
} as const;
