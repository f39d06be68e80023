/** The steps of a builder for a tree: its own, or those found there. What a farm and `croft run --local` both do. */
import { detectSteps, type DetectedPlan, type Tree } from './detect/detect-steps.ts';
import type { Builder } from './job.ts';

/** A string says why nothing is to be done. `tree` is asked for only where the builder's steps are to be found in it. */
export async function planSteps(
  { name, steps }: Pick<Builder, 'name' | 'steps'>,
  tree: () => Promise<Tree>,
): Promise<DetectedPlan | string> {
  return steps === 'detect' ? detectSteps(await tree()) : { steps, reason: `configured for ${name}` };
}
