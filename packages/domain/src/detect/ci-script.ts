/** `.ci/run`: the repository says it itself. */
import { isExecutable, step, type DetectedPlan, type Tree } from './detector.ts';

export function ciScript(file: string, tree: Tree): DetectedPlan {
  if (isExecutable(tree, file)) return { steps: [step('ci', 'run-tests', [`./${file}`])], reason: `the tree has an executable ${file}` };
  return { steps: [step('ci', 'run-tests', ['sh', file])], reason: `the tree has ${file} (not executable, so run by sh)` };
}
