/** What a builder does with a tree: the same on a farm and by `croft run --local`. */
import { detectSteps, type DetectedPlan, type Tree } from './detect/detect-steps.ts';
import { configHash, type Builder, type Job } from './job.ts';

/** A string says why nothing is to be done. `tree` is asked for only where the builder's steps are to be found in it. */
export async function planSteps(
  { name, steps }: Pick<Builder, 'name' | 'steps'>,
  tree: () => Promise<Tree>,
): Promise<DetectedPlan | string> {
  return steps === 'detect' ? detectSteps(await tree()) : { steps, reason: `configured for ${name}` };
}

export function planJob(builder: Builder, { steps, revisions, trigger }: Pick<Job, 'steps' | 'revisions' | 'trigger'>): Job {
  const { name, env, secrets, needs, isolation, trust, artifacts, services } = builder;
  return {
    owner: { kind: 'builder', name },
    configHash: configHash(builder),
    steps,
    revisions,
    trigger,
    env,
    secrets,
    needs,
    isolation,
    trust,
    artifacts,
    services,
  };
}
