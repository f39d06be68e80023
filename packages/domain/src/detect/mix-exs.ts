/** Elixir: everything in the environment of the tests, so that nothing is compiled twice. */
import { hasFile, step, type DetectedPlan, type Tree } from './detector.ts';

const env = { MIX_ENV: 'test' };

export function mixExs(file: string, tree: Tree): DetectedPlan {
  const locked = hasFile(tree, 'mix.lock');
  const steps = [
    step('hex', 'setup', ['mix', 'local.hex', '--force', '--if-missing'], env),
    step('rebar', 'setup', ['mix', 'local.rebar', '--force', '--if-missing'], env),
    step('install', 'setup', ['mix', 'deps.get', ...(locked ? ['--check-locked'] : [])], env),
    step('build', 'build', ['mix', 'compile'], env),
    step('test', 'run-tests', ['mix', 'test'], env),
  ];
  return { steps, reason: `the tree has ${file}${locked ? ' and mix.lock' : ''}` };
}
