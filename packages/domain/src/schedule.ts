/**
 * Which waiting build gets which idle machine, and why each of the others waits. Pure: the world in, a plan out.
 * Order (SCHED-2 repaired): band first, then first come first served within a band.
 */
import { bands, type Band, type Needs } from './job.ts';
import type { BuildId, BuilderName, MachineId } from './names.ts';

export interface WaitingBuild {
  readonly id: BuildId;
  readonly builder: BuilderName;
  readonly band: Band;
  /** Place in the order of arrival; unique. */
  readonly seq: number;
  readonly needs: Needs;
  /** Epoch ms before which it rests after an infra end. */
  readonly notBefore: number;
}

export interface MachineView {
  readonly id: MachineId;
  readonly labels: readonly string[];
  /** `ready`: connected and free; `busy`: leased; `away`: known but not answering. */
  readonly state: 'ready' | 'busy' | 'away';
  /** Epoch ms at which a busy machine is expected to be free, if it can be told. */
  readonly freeAt?: number;
  /** Epoch ms of its last answer. */
  readonly seenAt: number;
}

export interface World {
  /** In any order; every build that waits, or the head of the queue. */
  readonly waiting: readonly WaitingBuild[];
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
  readonly reasons: ReadonlyMap<BuildId, WaitReason>;
}

export function compareWaiting(a: WaitingBuild, b: WaitingBuild): number {
  return bands.indexOf(a.band) - bands.indexOf(b.band) || a.seq - b.seq;
}

export function fits(needs: Needs, machine: MachineView): boolean {
  return needs.labels.every((label) => machine.labels.includes(label));
}

export function planAssignments({ waiting, machines, now, hold }: World): Plan {
  const assign: { build: BuildId; machine: MachineId }[] = [];
  const reasons = new Map<BuildId, WaitReason>();
  const free = new Set(machines.filter((machine) => machine.state === 'ready'));
  const ahead = new Map<string, number>();
  for (const build of waiting.toSorted(compareWaiting)) {
    const kind = needsKey(build.needs);
    const position = ahead.get(kind) ?? 0;
    const machine = hold === undefined && build.notBefore <= now ? [...free].find((candidate) => fits(build.needs, candidate)) : undefined;
    if (machine) {
      free.delete(machine);
      assign.push({ build: build.id, machine: machine.id });
      continue;
    }
    ahead.set(kind, position + 1);
    reasons.set(build.id, whyWaiting(build, position, { machines, now, hold }));
  }
  return { assign, reasons };
}

/** Builds with the same key compete for the same machines. */
export function needsKey(needs: Needs): string {
  return needs.labels.toSorted().join(',');
}

function whyWaiting(build: WaitingBuild, position: number, { machines, now, hold }: Omit<World, 'waiting'>): WaitReason {
  if (hold !== undefined) return { code: 'hold', text: hold, position };
  if (build.notBefore > now) {
    return { code: 'resting', text: `rests ${seconds(build.notBefore - now)} after an infrastructure failure`, position, expectedAt: build.notBefore };
  }
  const kind = build.needs.labels.length > 0 ? `${build.needs.labels.join('+')} machines` : 'machines';
  const suited = machines.filter((machine) => fits(build.needs, machine));
  const present = suited.filter((machine) => machine.state !== 'away');
  if (suited.length === 0) return { code: 'no-machine', text: `no ${kind} are known; ${machines.length} of other kinds are`, position };
  if (present.length === 0) {
    const seenAt = Math.max(...suited.map((machine) => machine.seenAt));
    return { code: 'machines-away', text: `0 of ${suited.length} ${kind} connected, last seen ${seconds(now - seenAt)} ago`, position };
  }
  const frees = present.map((machine) => machine.freeAt).filter((at) => at !== undefined).toSorted((a, b) => a - b);
  const freeAt = position < frees.length ? frees[position] : undefined;
  const expected = freeAt === undefined ? {} : { expectedAt: Math.max(freeAt, now) };
  const busy = `${present.length} of ${suited.length} ${kind} busy`;
  if (position === 0) return { code: 'machines-busy', text: `next; ${busy}`, position, ...expected };
  return { code: 'behind', text: `${position} ahead; ${busy}`, position, ...expected };
}

function seconds(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}
