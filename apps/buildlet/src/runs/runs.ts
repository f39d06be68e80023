/** All runs of this buildlet: start-or-attach under an id that is used once for ever, list, collect, end. */
import { isDeepStrictEqual } from 'node:util';
import type { RunSpec } from '@croft/protocol/runs';
import { anySignal } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { sha256Hex } from '@croft/runtime/digest';
import type { Random } from '@croft/runtime/random';
import { insideOf } from '../files/paths.ts';
import { badDirectory } from '../commands/command.ts';
import { checkAskedEnvironment } from '../commands/environment.ts';
import { recoverRuns } from './recover.ts';
import { runCommand, type CommandDeps, type PlannedRun } from './run-command.ts';
import type { KillCause, ManagedRun } from './run.ts';

const maxRuns = 10_000;

export type StartResult =
  | { readonly kind: 'started' | 'attached'; readonly run: ManagedRun }
  | { readonly kind: 'collected' | 'another' | 'not-ready' | 'no-terminal' | 'low-disk' | 'too-many' | 'ending' };

export interface StartWaits {
  /** Whether the work directory holds what the command needs; asked before it is started and not when it is attached to. */
  ready(): boolean;
  readonly signal: AbortSignal;
}

export interface Runs {
  /** Uncollected runs, oldest first. */
  list(): ManagedRun[];
  find(id: string): Promise<ManagedRun | 'unknown' | 'collected'>;
  /** @throws CroftError `invalid` for a bad directory or environment; the signal's reason when it is aborted before the spawn */
  startOrAttach(id: string, spec: RunSpec, start: StartWaits): Promise<StartResult>;
  /** One that is not there is collected. */
  collect(id: string): Promise<'collected' | 'running'>;
  /** Takes no more starts, kills what runs and resolves when every end is on disk. */
  endAll(reason: string): Promise<void>;
}

export interface RunsDeps extends CommandDeps {
  readonly random: Random;
  /** Tells apart the trees of several buildlets on one machine. */
  readonly stateDir: string;
}

/** Loads what a predecessor left, kills what it left running, and takes runs from then on. */
export async function openRuns(deps: RunsDeps): Promise<Runs> {
  const { records } = deps;
  const runs = new Map((await recoverRuns(deps)).map((run) => [run.id, run]));
  await deps.trees.fellForgotten(treeNames(deps.stateDir));
  const starting = new Map<string, Promise<StartResult>>();
  const noMoreStarts = new AbortController();

  const start = async (id: string, spec: RunSpec, { ready, signal }: StartWaits): Promise<StartResult> => {
    if (records.isCollected(id)) return { kind: 'collected' };
    if (!ready()) return { kind: 'not-ready' };
    if (spec.pty && !deps.terminals.available()) return { kind: 'no-terminal' };
    if (runs.size >= maxRuns) return { kind: 'too-many' };
    if ((await deps.disk.check()).low) return { kind: 'low-disk' };
    const run = await startRun(id, spec, deps, anySignal(signal, noMoreStarts.signal));
    runs.set(id, run);
    return { kind: 'started', run };
  };

  /** Requests for one id take turns. Whoever started it is told of a failure; the others find what is there then. */
  const turn = async (id: string): Promise<void> => {
    while (starting.has(id)) await starting.get(id)?.catch(() => {});
  };

  return {
    list: () => [...runs.values()],
    async find(id) {
      await turn(id);
      return runs.get(id) ?? (records.isCollected(id) ? 'collected' : 'unknown');
    },
    async startOrAttach(id, spec, waits) {
      await turn(id);
      const run = runs.get(id);
      if (run) return isDeepStrictEqual(run.spec, spec) ? { kind: 'attached', run } : { kind: 'another' };
      if (noMoreStarts.signal.aborted) return { kind: 'ending' };
      const started = start(id, spec, waits).finally(() => starting.delete(id));
      starting.set(id, started);
      return started;
    },
    async collect(id) {
      await turn(id);
      const run = runs.get(id);
      if (!run) return 'collected';
      if (!run.hasEnded) return 'running';
      await run[Symbol.asyncDispose]();
      await records.collect(id);
      runs.delete(id);
      return 'collected';
    },
    async endAll(reason) {
      noMoreStarts.abort(new CroftError('unavailable', 'start a command: the buildlet is ending'));
      await Promise.allSettled(starting.values());
      const cause: KillCause = { kind: 'lost', reason };
      for (const run of runs.values()) run.controls.kill(cause);
      await Promise.all([...runs.values()].map((run) => run.ended));
    },
  };
}

/** Intent first, then the command. When it could not be tried, nothing is left of it. */
async function startRun(id: string, spec: RunSpec, deps: RunsDeps, signal: AbortSignal): Promise<ManagedRun> {
  const { records, trees, random, clock } = deps;
  checkAskedEnvironment(spec.env);
  const place = await placeOf(deps.workDir, spec);
  const tree = trees.mark(treeName(deps.stateDir, id), `${random.hex(16)}:${id}`);
  const intent = { spec, startedAt: clock.now(), tree };
  await records.saveIntent(id, intent);
  try {
    return await runCommand({ id, intent, place }, deps, { signal });
  } catch (error) {
    await trees.fell(tree, undefined);
    await records.discard(id);
    throw error;
  }
}

/** @throws CroftError `invalid` for a directory that leaves the work directory */
async function placeOf(workDir: string, { dir, elseDir = dir }: RunSpec): Promise<PlannedRun['place']> {
  const cwd = await insideOf(workDir, dir);
  if (elseDir === dir || !(await badDirectory(cwd, dir))) return { cwd, shown: dir };
  return { cwd: await insideOf(workDir, elseDir), shown: elseDir };
}

/** A directory name of bounded length, the same for the same run of the same buildlet. */
function treeName(stateDir: string, id: string): string {
  return `${treeNames(stateDir)}${id}`;
}

/** How the names of all trees of this buildlet begin. */
export function treeNames(stateDir: string): string {
  return `croft-${sha256Hex(stateDir).slice(0, 12)}-`;
}
