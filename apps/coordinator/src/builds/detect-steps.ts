/**
 * What to run for a repository that says nothing: decided for each commit from its own tree, with the reason in words. Pure; the
 * first rule that fits wins. The table is in docs/using/detection.md.
 */
import { MINUTE } from '@croft/runtime/clock';
import type { Role, Step } from '@croft/domain/job';
import { CroftError } from '@croft/runtime/errors';
import type { StepPlan } from './work.ts';

export interface Tree {
  /** Mode of a file at the path, `undefined` when there is none. */
  mode(path: string): string | undefined;
  /** Text of a small file at the root; `undefined` when there is none. */
  read(path: string): Promise<string | undefined>;
}

const setupLimitMs = 20 * MINUTE;
const testLimitMs = 60 * MINUTE;
/** In the script that `npm init` writes where there are no tests. */
const noTest = 'Error: no test specified';

/** A string says why nothing can be run. @throws CroftError `invalid` when the file that decides cannot be read as what it is. */
export async function detectSteps(tree: Tree): Promise<StepPlan | string> {
  for (const rule of [ciScript, nodePackage, goModule, cargoPackage, makefile]) {
    const plan = await rule(tree);
    if (plan) return plan;
  }
  return 'nothing to run was found at the root: no .ci/run, package.json with scripts, go.mod, Cargo.toml or Makefile';
}

async function ciScript(tree: Tree): Promise<StepPlan | undefined> {
  const mode = tree.mode('.ci/run');
  if (mode === undefined || mode === '120000') return undefined;
  if (mode === '100755') return { steps: [step('ci', 'run-tests', ['./.ci/run'])], reason: 'the tree has an executable .ci/run' };
  return { steps: [step('ci', 'run-tests', ['sh', '.ci/run'])], reason: 'the tree has .ci/run (not executable, so run by sh)' };
}

async function nodePackage(tree: Tree): Promise<StepPlan | undefined> {
  const text = await tree.read('package.json');
  if (text === undefined) return undefined;
  const scripts = packageScripts(text);
  const locked = tree.mode('package-lock.json') !== undefined || tree.mode('npm-shrinkwrap.json') !== undefined;
  const install = step('install', 'setup', locked ? ['npm', 'ci', '--prefer-offline'] : ['npm', 'install', '--no-audit', '--no-fund']);
  const lockReason = locked ? 'with a lock file' : 'without a lock file';
  if (scripts.has('test')) {
    return { steps: [install, step('test', 'run-tests', ['npm', 'test'])], reason: `package.json ${lockReason} has the script "test"` };
  }
  if (scripts.has('build')) {
    return {
      steps: [install, step('build', 'build', ['npm', 'run', 'build'])],
      reason: `package.json ${lockReason} has the script "build" and no "test"`,
    };
  }
  return undefined;
}

function packageScripts(text: string): Set<string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new CroftError('invalid', 'package.json of this commit is not JSON', { cause: error });
  }
  const scripts = parsed !== null && typeof parsed === 'object' && 'scripts' in parsed ? parsed.scripts : undefined;
  const entries = scripts !== null && typeof scripts === 'object' ? Object.entries(scripts) : [];
  return new Set(entries.filter(([, command]) => !String(command).includes(noTest)).map(([name]) => name));
}

async function goModule(tree: Tree): Promise<StepPlan | undefined> {
  if (tree.mode('go.mod') === undefined) return undefined;
  const steps = [step('build', 'build', ['go', 'build', './...']), step('test', 'run-tests', ['go', 'test', './...'])];
  return { steps, reason: 'the tree has go.mod' };
}

async function cargoPackage(tree: Tree): Promise<StepPlan | undefined> {
  if (tree.mode('Cargo.toml') === undefined) return undefined;
  const locked = tree.mode('Cargo.lock') === undefined ? [] : ['--locked'];
  const steps = [
    step('build', 'build', ['cargo', 'build', '--all-targets', ...locked]),
    step('test', 'run-tests', ['cargo', 'test', ...locked]),
  ];
  return { steps, reason: `the tree has Cargo.toml${locked.length > 0 ? ' and Cargo.lock' : ''}` };
}

async function makefile(tree: Tree): Promise<StepPlan | undefined> {
  for (const name of ['GNUmakefile', 'makefile', 'Makefile']) {
    const text = await tree.read(name);
    if (text === undefined) continue;
    const targets = makeTargets(text);
    const target = ['test', 'check'].find((candidate) => targets.has(candidate));
    if (target) return { steps: [step(target, 'run-tests', ['make', target])], reason: `${name} has the target "${target}"` };
    return { steps: [step('make', 'build', ['make'])], reason: `${name} has neither "test" nor "check", so its first target` };
  }
  return undefined;
}

/** What stands before the colon of each rule: `all test: lib`, and neither `test := 1` nor what `.PHONY: test` declares. */
function makeTargets(text: string): Set<string> {
  const lines = text.replaceAll(/\\\r?\n/g, ' ').split('\n');
  return new Set(lines.flatMap((line) => /^(?!\t)([^:=#]+)::?(?![:=])/.exec(line)?.[1]?.trim().split(/\s+/) ?? []));
}

function step(name: string, role: Role, argv: readonly string[]): Step {
  return { name, role, argv, env: {}, dir: '.', limitMs: role === 'setup' ? setupLimitMs : testLimitMs };
}
