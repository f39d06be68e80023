/**
 * The processes of one command, and ending all of them. The mark is plain data and is stored before the command starts, so
 * that the next buildlet over the same directory can end what this one left behind.
 * @see docs/protocols/runs.md#the-tree
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import * as z from 'zod';
import {
  type Movers,
  bornInside,
  findGroupHome,
  groupMembers,
  groupUsage,
  type GroupUsage,
  killIfThere,
  openDoor,
  removeGroup,
  removeIfEmpty,
  strikeGroup,
} from './groups.ts';
import { createPlaces } from './places.ts';
import { findNamed, findProcesses, isSameProcess, type ProcessMark } from './processes.ts';

const killDeadlineMs = 10_000;
const longestPauseMs = 50;

export const treeMarkSchema = z.object({
  /** `<random>:<run id>`, in the environment of every process of the tree that did not clear it. */
  cookie: z.string(),
  group: z.object({ kind: z.enum(['cgroup2', 'freezer']), path: z.string() }).optional(),
});
export type TreeMark = z.infer<typeof treeMarkSchema>;

/** Disposing it removes the places that wait for a command. */
export interface Trees extends Disposable {
  /** How trees are held together on this machine. */
  readonly way: 'cgroup2' | 'freezer' | 'cookie';
  /** What a tree of this name will be found by; nothing is made yet. The name is unique on this machine. */
  mark(name: string, cookie: string): TreeMark;
  /** The same for a command whose mark is not stored and whose usage nobody asks for: its place may have been another's, and may be the next one's. */
  lend(name: string, cookie: string): TreeMark;
  /** Calls `spawn` so that the process it starts, and all its descendants, are in the tree from their birth. `movers`: `thread` if it starts no thread of ours. */
  spawnInside<T>(mark: TreeMark, spawn: () => T, movers: Movers): T;
  /** What all processes of the tree used, where the kernel keeps account of it; to be asked before it is felled. */
  usage(mark: TreeMark): GroupUsage;
  /** Kills until nothing is left; returns the pids that would not die within 10 s (stuck in the kernel). */
  fell(mark: TreeMark, leader: number | undefined): Promise<number[]>;
  /** Ends the trees whose names begin so and of which nothing else is known. To be called while no command runs. */
  fellForgotten(beginning: string): Promise<void>;
}

export function createTrees({ clock, probeName }: { clock: Clock; probeName: string }): Trees {
  const home = findGroupHome(probeName);
  const kept = home && { places: createPlaces(home), back: openDoor(home.kind, home.own, 'thread') };
  return {
    way: home?.kind ?? 'cookie',
    mark: (name, cookie) => (home ? { cookie, group: { kind: home.kind, path: join(home.own, name) } } : { cookie }),
    lend: (name, cookie) => (home && kept ? kept.places.lend(join(home.own, name), cookie) : { cookie }),
    spawnInside(mark, spawn, movers) {
      if (!home || !kept || !mark.group) return spawn();
      const lent = movers === 'thread' ? kept.places.doorOf(mark) : undefined;
      if (lent) return bornInside({ into: lent, back: kept.back }, spawn);
      mkdirSync(mark.group.path, { recursive: true });
      using into = openDoor(home.kind, mark.group.path, movers);
      using back = openDoor(home.kind, home.own, movers);
      return bornInside({ into, back }, spawn);
    },
    usage: (mark) => (mark.group?.kind === 'cgroup2' && !kept?.places.doorOf(mark) ? groupUsage(mark.group.path) : {}),
    async fell(mark, leader) {
      const { group } = mark;
      if (group && (kept?.places.takeBack(mark) || removeIfEmpty(group.path))) return []; // most commands leave nothing behind
      const left = await killUntilGone(clock, group ? groupTarget(group) : processTarget(mark.cookie, leader));
      if (group && left.length === 0) removeGroup(group.path);
      return left;
    },
    async fellForgotten(beginning) {
      if (!home) {
        await killUntilGone(clock, { members: () => findNamed(beginning), strike: strikeEach });
        return;
      }
      for (const name of readdirSync(home.own).filter((entry) => entry.startsWith(beginning))) {
        const group = { kind: home.kind, path: join(home.own, name) };
        if ((await killUntilGone(clock, groupTarget(group))).length === 0) removeGroup(group.path);
      }
    },
    [Symbol.dispose]() {
      kept?.places[Symbol.dispose]();
      kept?.back[Symbol.dispose]();
    },
  };
}

/** Ends a tree of a buildlet that is gone, by every means at once. Returns how many processes were found, and which are left. */
export async function fellLeftTree(
  clock: Clock,
  mark: TreeMark,
  leader: ProcessMark | undefined,
): Promise<{ found: number; left: number[] }> {
  const group = mark.group && groupTarget(mark.group);
  const marked = processTarget(mark.cookie, leader && isSameProcess(leader) ? leader.pid : undefined);
  const found = new Set([...(group?.members() ?? []), ...marked.members()]).size;
  const left = [...(group ? await killUntilGone(clock, group) : []), ...(await killUntilGone(clock, marked))];
  if (mark.group && left.length === 0) removeGroup(mark.group.path);
  return { found, left };
}

interface Target {
  members(): number[];
  strike(members: readonly number[]): void;
}

function groupTarget({ kind, path }: NonNullable<TreeMark['group']>): Target {
  return { members: () => groupMembers(path), strike: () => strikeGroup(kind, path) };
}

function processTarget(cookie: string, leader: number | undefined): Target {
  return {
    members: () => findProcesses(cookie, leader),
    strike: strikeEach,
  };
}

function strikeEach(members: readonly number[]): void {
  for (const pid of members) killIfThere(pid);
}

async function killUntilGone(clock: Clock, target: Target): Promise<number[]> {
  const end = clock.monotonic() + killDeadlineMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const members = target.members();
    if (members.length === 0 || clock.monotonic() > end) return members;
    target.strike(members);
    await clock.sleep(pauseMs);
  }
}
