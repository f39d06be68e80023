/** The runs of one machine that knows none, under their ids, as long as this process lives. @see docs/protocols/runs.md */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { RunSpec } from '@croft/protocol/runs';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { GoClient } from '../go-client.ts';
import { goCommand } from './go-command.ts';
import { startGoRun, type GoRun } from './go-run.ts';

export interface GoRuns extends AsyncDisposable {
  /** @throws CroftError `conflict` for another command under the id, `not-found` when it was collected */
  startOrAttach(id: string, spec: RunSpec, begin: Begin): Promise<GoRun>;
  find(id: string): GoRun | 'unknown' | 'collected';
  /** @throws CroftError `not-found` */
  get(id: string): GoRun;
  all(): GoRun[];
  /** @throws CroftError `conflict` while it runs */
  collect(id: string): Promise<void>;
  /** A higher epoch has come: nobody asks for what was collected under the lower one. */
  forgetCollected(): void;
}

export interface Begin {
  /** Looked at when nothing runs under the id yet; throws when it may not begin. */
  mayBegin(): void;
  /** Absolute path of the work directory; asked of the machine, which shows that it can be reached. */
  workDir(): Promise<string>;
}

interface Deps {
  readonly client: GoClient;
  readonly clock: Clock;
  readonly spoolDir: string;
  readonly spoolLimitBytes: number;
}

const maxRuns = 10_000;
const maxCollected = 100_000;

export function createGoRuns(deps: Deps): GoRuns {
  const runs = new Map<string, GoRun>();
  const starting = new Map<string, Promise<GoRun>>();
  const collected = new Set<string>();
  let count = 0;

  const start = async (id: string, spec: RunSpec, { mayBegin, workDir }: Begin): Promise<GoRun> => {
    mayBegin();
    if (runs.size >= maxRuns || collected.size >= maxCollected)
      throw new CroftError('exhausted', `start run ${id}: too many runs wait to be collected`);
    const command = goCommand(spec, await workDir());
    const spoolDir = join(deps.spoolDir, String((count += 1)));
    const run = await startGoRun(id, { ...deps, spec, command, spoolDir });
    runs.set(id, run);
    await run.started;
    return run;
  };
  const find = (id: string): GoRun | 'unknown' | 'collected' => runs.get(id) ?? (collected.has(id) ? 'collected' : 'unknown');
  return {
    async startOrAttach(id, spec, begin) {
      if (collected.has(id)) throw new CroftError('not-found', `run ${id} was collected`);
      const begun = starting.get(id) ?? runs.get(id) ?? start(id, spec, begin).finally(() => starting.delete(id));
      if (begun instanceof Promise) starting.set(id, begun);
      const run = await begun;
      if (isDeepStrictEqual(run.spec, spec)) return run;
      throw new CroftError('conflict', `run ${id} exists with another command`, {
        hint: 'An id names one command for ever; use a new one.',
      });
    },
    find,
    get(id) {
      const run = find(id);
      if (typeof run !== 'string') return run;
      throw new CroftError('not-found', `run ${id} ${run === 'collected' ? 'was collected' : 'was never heard of'}`);
    },
    all: () => [...runs.values()],
    async collect(id) {
      const run = runs.get(id);
      if (!run) return;
      if (run.view().state === 'running') throw new CroftError('conflict', `collect run ${id}: it is running`);
      runs.delete(id);
      collected.add(id);
      await run.remove();
    },
    forgetCollected: () => collected.clear(),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(starting.values());
      for (const run of runs.values()) run.kill({ kind: 'lost', reason: 'the line to the machine was given up' });
      for (const run of runs.values()) {
        await run.ended;
        await run.remove();
      }
    },
  };
}
