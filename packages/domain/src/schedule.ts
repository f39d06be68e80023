/**
 * Which waiting build or session gets which idle machine, and why each of the others waits. Pure: the world in, a plan out.
 * Order (SCHED-2 repaired): sessions before all builds, then band by band; first come first served within each.
 */
import { DAY, HOUR, MINUTE, SECOND } from '@croft/runtime/clock';
import { bands, type Band, type Needs } from './job.ts';
import type { BuildId, BuilderName, MachineId, SessionId } from './names.ts';

interface Waiting {
  /** Place in the order of arrival; unique. */
  readonly seq: number;
  readonly needs: Needs;
}

export interface WaitingBuild extends Waiting {
  readonly id: BuildId;
  readonly builder: BuilderName;
  readonly band: Band;
  /** Epoch ms before which it rests after an infra end. */
  readonly notBefore: number;
  /** How long its builder usually takes, ms, if it can be told. */
  readonly lastsMs?: number | undefined;
}

/** Somebody wants a machine. How long it will be kept cannot be told. */
export interface WaitingSession extends Waiting {
  readonly id: SessionId;
}

export interface MachineView {
  readonly id: MachineId;
  readonly labels: readonly string[];
  /** Undefined: it did not say, and is taken to have enough. */
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  /** `ready`: connected and free; `busy`: leased; `away`: not answering, or taking no work for the reason given in `why`. */
  readonly state: 'ready' | 'busy' | 'away';
  readonly why?: string | undefined;
  /** No build gets it. */
  readonly forSessions?: boolean | undefined;
  /** Epoch ms at which a busy machine is expected to be free, if it can be told. */
  readonly freeAt?: number;
  /** Epoch ms of its last answer. */
  readonly seenAt: number;
}

export interface World {
  /** In any order; every build that waits, or the head of the queue. */
  readonly waiting: readonly WaitingBuild[];
  /** All that wait. */
  readonly sessions?: readonly WaitingSession[];
  readonly machines: readonly MachineView[];
  readonly now: number;
  /** Set while nothing may start at all, with the sentence to show (low disk, paused by an operator). */
  readonly hold?: string | undefined;
}

export interface WaitReason {
  readonly code: 'hold' | 'resting' | 'no-machine' | 'machines-away' | 'behind' | 'machines-busy';
  /** One sentence for people. */
  readonly text: string;
  /** 0 = next among those that need the same kind of machine. */
  readonly position: number;
  readonly expectedAt?: number;
}

export interface Plan {
  readonly assign: readonly { readonly build: BuildId; readonly machine: MachineId }[];
  readonly lend: readonly { readonly session: SessionId; readonly machine: MachineId }[];
  readonly reasons: ReadonlyMap<BuildId | SessionId, WaitReason>;
}

export function compareWaiting(a: WaitingBuild, b: WaitingBuild): number {
  return bands.indexOf(a.band) - bands.indexOf(b.band) || a.seq - b.seq;
}

export function fits(needs: Needs, machine: MachineView): boolean {
  const { cpus = Infinity, memoryBytes = Infinity } = machine;
  const { labels, cpus: wantedCpus = 0, memoryBytes: wantedBytes = 0 } = needs;
  return wantedCpus <= cpus && wantedBytes <= memoryBytes && labels.every((label) => machine.labels.includes(label));
}

/**
 * Neither the order of `waiting` nor that of `machines` matters. Work is grouped by what it needs, so the cost grows with the
 * builds and with the kinds of need times the machines, not with builds times machines.
 */
export function planAssignments({ waiting, sessions = [], machines, now, hold }: World): Plan {
  const reasons = new Map<BuildId | SessionId, WaitReason>();
  const taken = new Set<MachineId>();
  const queues = new Map<string, Queue>();
  const leastAbleFirst = machines.toSorted(
    (a, b) =>
      Number(b.forSessions ?? false) - Number(a.forSessions ?? false) || a.labels.length - b.labels.length || (a.id < b.id ? -1 : 1),
  );
  const place = (one: Placed): MachineId | undefined => {
    const key = needsKey(one.needs);
    const queue = queues.get(key) ?? openQueue(one.needs, leastAbleFirst);
    queues.set(key, queue);
    const machine = hold === undefined && (one.notBefore ?? now) <= now ? takeMachine(queue, taken, one) : undefined;
    if (machine === undefined) reasons.set(one.id, whyWaiting(one, queue, { now, hold, known: machines.length }));
    else occupy(queue, now, one.lastsMs);
    return machine;
  };
  const lend = sessions
    .toSorted((a, b) => a.seq - b.seq)
    .flatMap((one) => {
      const machine = place(one);
      return machine === undefined ? [] : [{ session: one.id, machine }];
    });
  const assign = waiting.toSorted(compareWaiting).flatMap((one) => {
    const machine = place(one);
    return machine === undefined ? [] : [{ build: one.id, machine }];
  });
  return { assign, lend, reasons };
}

type Placed = (WaitingSession & { readonly band?: undefined; readonly notBefore?: undefined; readonly lastsMs?: undefined }) | WaitingBuild;

const isSession = ({ band }: Placed): boolean => band === undefined;

/** Who has the same key competes for the same machines. */
export function needsKey(needs: Needs): string {
  const labels = [...new Set(needs.labels)].toSorted();
  const size = [needs.cpus ?? 0, needs.memoryBytes ?? 0];
  return JSON.stringify(size.some((wanted) => wanted > 0) ? [labels, ...size] : labels);
}

interface Suited {
  readonly count: number;
  readonly present: number;
}

/** Those with one kind of need, and the machines that suit them. */
interface Queue {
  /** What such machines are called. */
  readonly kind: string;
  readonly all: Suited;
  /** Without those for sessions alone. */
  readonly forBuilds: Suited;
  readonly lastSeenAt: number;
  readonly ready: readonly MachineView[];
  /** Before this index none of `ready` is free any more. */
  next: number;
  /** Why one of the others takes no work. */
  readonly why: string | undefined;
  /** When busy ones should be free for the next build that is not told yet, soonest first. */
  readonly frees: number[];
  /** Those of this queue that have been told to wait. */
  ahead: number;
}

function openQueue(needs: Needs, machines: readonly MachineView[]): Queue {
  const suited = machines.filter((machine) => fits(needs, machine));
  const present = suited.filter((machine) => machine.state !== 'away');
  const forBuilds = (some: readonly MachineView[]): number => some.filter((machine) => machine.forSessions !== true).length;
  const labels = [...new Set(needs.labels)].toSorted();
  return {
    kind: [...(labels.length > 0 ? [labels.join('+')] : []), 'machines', ...sizeText(needs)].join(' '),
    all: { count: suited.length, present: present.length },
    forBuilds: { count: forBuilds(suited), present: forBuilds(present) },
    why: suited.find((machine) => machine.state === 'away' && machine.why !== undefined)?.why,
    lastSeenAt: suited.reduce((latest, { seenAt }) => Math.max(latest, seenAt), 0),
    ready: present.filter((machine) => machine.state === 'ready'),
    next: 0,
    frees: present
      .flatMap(({ state, freeAt, forSessions }) => (state === 'busy' && freeAt !== undefined && forSessions !== true ? [freeAt] : []))
      .toSorted((a, b) => a - b),
    ahead: 0,
  };
}

function sizeText({ cpus, memoryBytes }: Needs): string[] {
  const parts = [
    ...(cpus === undefined ? [] : [`${cpus} CPUs`]),
    ...(memoryBytes === undefined ? [] : [`${(memoryBytes / 2 ** 30).toFixed(1)} GiB`]),
  ];
  return parts.length === 0 ? [] : [`of ${parts.join(' and ')} or more`];
}

/** The least able machine that suits and is free: able ones are left for those who need more. Sessions come first, to machines of their own first. */
function takeMachine(queue: Queue, taken: Set<MachineId>, one: Placed): MachineId | undefined {
  for (; queue.next < queue.ready.length; queue.next += 1) {
    const machine = queue.ready[queue.next];
    if (machine === undefined || taken.has(machine.id) || (machine.forSessions === true && !isSession(one))) continue;
    taken.add(machine.id);
    return machine.id;
  }
  return undefined;
}

/** A machine is taken at this moment, for as long as the build lasts. */
function occupy({ frees }: Queue, at: number, lastsMs: number | undefined): void {
  if (lastsMs === undefined) return;
  const later = frees.findIndex((freeAt) => freeAt > at + lastsMs);
  frees.splice(later === -1 ? frees.length : later, 0, at + lastsMs);
}

function whyWaiting(one: Placed, queue: Queue, { now, hold, known }: { now: number; hold: string | undefined; known: number }): WaitReason {
  const position = queue.ahead;
  queue.ahead += 1;
  const { notBefore = 0, lastsMs } = one;
  const { kind, all, frees } = queue;
  const { count: suited, present } = isSession(one) ? all : queue.forBuilds;
  if (hold !== undefined) return { code: 'hold', text: hold, position };
  if (notBefore > now) {
    return {
      code: 'resting',
      text: `rests ${lasting(notBefore - now)} after an infrastructure failure`,
      position,
      expectedAt: notBefore,
    };
  }
  if (suited === 0 && all.count > 0) return { code: 'no-machine', text: `${all.count} ${kind} are there for sessions alone`, position };
  if (suited === 0)
    return { code: 'no-machine', text: known === 0 ? 'no machines are known' : `no ${kind} are known, only others (${known})`, position };
  if (present === 0 && queue.why !== undefined)
    return { code: 'machines-away', text: `0 of ${suited} ${kind} take work: ${queue.why}`, position };
  if (present === 0)
    return { code: 'machines-away', text: `0 of ${suited} ${kind} connected, last seen ${lasting(now - queue.lastSeenAt)} ago`, position };
  const freeAt = frees.shift();
  const startAt = freeAt === undefined ? undefined : Math.max(freeAt, now);
  if (startAt !== undefined) occupy(queue, startAt, lastsMs);
  const expected = startAt === undefined ? {} : { expectedAt: startAt };
  const busy = `${present} of ${suited} ${kind} busy`;
  if (position === 0) return { code: 'machines-busy', text: `next; ${busy}`, position, ...expected };
  return { code: 'behind', text: `${position} ahead; ${busy}`, position, ...expected };
}

function lasting(ms: number): string {
  if (ms < 2 * MINUTE) return `${Math.max(0, Math.round(ms / SECOND))} s`;
  if (ms < 2 * HOUR) return `${Math.round(ms / MINUTE)} min`;
  return ms < 2 * DAY ? `${Math.round(ms / HOUR)} h` : `${Math.round(ms / DAY)} d`;
}
