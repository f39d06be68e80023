/** Make: the target that tests, else the first one. */
import { step, textOf, type DetectedPlan, type Tree } from './detector.ts';

export async function makefile(file: string, tree: Tree): Promise<DetectedPlan> {
  const targets = makeTargets(await textOf(tree, file));
  const target = ['test', 'check'].find((candidate) => targets.has(candidate));
  if (target) return { steps: [step(target, 'run-tests', ['make', target])], reason: `${file} has the target "${target}"` };
  return { steps: [step('make', 'build', ['make'])], reason: `${file} has neither "test" nor "check", so its first target` };
}

/** What stands before the colon of each rule: `all test: lib`, and neither `test := 1` nor what `.PHONY: test` declares. */
function makeTargets(text: string): Set<string> {
  const lines = text.replaceAll(/\\\r?\n/g, ' ').split('\n');
  return new Set(lines.flatMap((line) => /^(?!\t)([^:=#]+)::?(?![:=])/.exec(line)?.[1]?.trim().split(/\s+/) ?? []));
}
