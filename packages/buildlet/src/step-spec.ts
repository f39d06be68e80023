/** How a step of a job is asked of a buildlet: by the farm and by `croft run --local` alike. */
import type { Job, Step } from '@croft/domain/job';
import type { RunSpec } from '@croft/protocol/runs';

export interface StepLimits {
  /** Those that hold secrets, with their values. */
  readonly variables: Readonly<Record<string, string>>;
  readonly outputLimitBytes: number;
}

export function stepSpec(job: Job, step: Step, { variables, outputLimitBytes }: StepLimits): RunSpec {
  const root = sourceDir(job);
  return {
    argv: [...step.argv],
    dir: step.dir === '.' ? root : `${root}/${step.dir}`,
    env: { CI: 'true', ...job.env, ...step.env, ...variables },
    limitMs: step.limitMs,
    outputLimitBytes,
  };
}

/** The directory, below the work directory, that holds the tree; the same for each build, since compilers' caches know paths. */
export function sourceDir({ revisions }: Pick<Job, 'revisions'>): string {
  const first = revisions[0];
  if (!first) throw new Error('a job without revisions');
  return first.repo;
}
