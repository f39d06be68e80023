/** Go modules. */
import { step, type DetectedPlan } from './detector.ts';

export function goMod(file: string): DetectedPlan {
  const steps = [step('build', 'build', ['go', 'build', './...']), step('test', 'run-tests', ['go', 'test', './...'])];
  return { steps, reason: `the tree has ${file}` };
}
