/** Runs the steps of a job one after the other on a buildlet, as a farm does, and gives their output as it comes, without secrets. */
import type { Buildlet } from '@croft/buildlet/client';
import { sourceDir, stepSpec } from '@croft/buildlet/step-spec';
import type { SecretKeeper } from '@croft/config/keep-secrets';
import type { Job, Step } from '@croft/domain/job';
import { parseRunId, type RunId } from '@croft/domain/names';
import { endOfStep, type AttemptEnd, type Exit } from '@croft/domain/outcome';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { LocalSource } from './local-source.ts';

export interface LocalJob {
  readonly job: Job;
  /** The first is the one that is tested. */
  readonly sources: readonly LocalSource[];
  readonly secrets: Pick<SecretKeeper, 'variables' | 'mask'>;
  readonly outputLimitBytes: number;
}

export interface Watcher {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  onStep(step: Step): Promise<void>;
  onOutput(bytes: Uint8Array): Promise<void>;
  onStepEnd(step: Step, exit: Exit, tookMs: number): Promise<void>;
}

/** Nobody else has this machine. */
const epoch = 1;
const name = 'local.1';
const askedMs = 20 * SECOND;
const mostCuts = 5;
const ackBytes = 1024 * 1024;

/** @throws the signal's reason when it is aborted; the caller then ends the machine, and what runs with it */
export async function runSteps(
  buildlet: Buildlet,
  { job, sources, secrets, outputLimitBytes }: LocalJob,
  watcher: Watcher,
): Promise<AttemptEnd> {
  const { clock, signal } = watcher;
  const [own, ...beside] = sources;
  for (const one of [...beside, ...(own ? [own] : [])]) {
    // The last one: with its name all of them are there.
    const noted = one === own ? { source: name } : {};
    const dir = sourceDir({ revisions: [one.revision] });
    await buildlet.putTarGz(dir, one.tar({ gzipLevel: buildlet.gzipLevel, signal }), epoch, { ...noted, signal });
  }
  for (const step of job.steps) {
    await watcher.onStep(step);
    const startedAt = clock.monotonic();
    const variables = secrets.variables({ ...job.secrets, ...step.secrets });
    const id = parseRunId(`${name}.${step.name}`);
    try {
      await buildlet.startOrAttach(id, stepSpec(job, step, { variables, outputLimitBytes }), epoch, { source: name, signal });
    } catch (error) {
      if (isCode(error, 'conflict')) return { kind: 'infra', cause: 'machine-lost', evidence: errorText(error) };
      throw error;
    }
    const exit = await follow(buildlet, id, secrets, watcher);
    await watcher.onStepEnd(step, exit, clock.monotonic() - startedAt);
    const end = endOfStep(step.name, exit);
    if (end) return end;
  }
  return { kind: 'passed' };
}

/** To its end; what was given is acknowledged now and then, so that the disk holds little of it. */
async function follow(buildlet: Buildlet, id: RunId, secrets: LocalJob['secrets'], { clock, signal, onOutput }: Watcher): Promise<Exit> {
  const mask = secrets.mask();
  let acknowledged = 0;
  for (let at = 0, cuts = 0; ; cuts += 1) {
    try {
      for await (const chunk of buildlet.output(id, at, { signal })) {
        at += chunk.length;
        await onOutput(Buffer.from(mask.push(chunk))); // the piece is good only until the next one
        if (at - acknowledged < ackBytes) continue;
        await buildlet.ack(id, at, epoch, { signal });
        acknowledged = at;
      }
      await onOutput(mask.end());
      const run = await buildlet.run(id, { signal, waitMs: askedMs });
      if (run === 'unknown' || run === 'collected') return { kind: 'lost', reason: 'its buildlet does not know the run any more' };
      if (run.state === 'ended') return run.exit;
    } catch (error) {
      signal.throwIfAborted();
      if (!isCode(error, 'unavailable')) throw error;
      if (cuts >= mostCuts) throw new CroftError('unavailable', 'the buildlet that runs the steps is gone', { cause: error });
    }
    await clock.sleep(SECOND, { signal });
  }
}
