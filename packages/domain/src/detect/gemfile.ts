/** Ruby with Bundler: gems go below the tree; RSpec, Rails or the Rakefile run the tests. */
import { firstFile, hasFile, step, textOf, type DetectedPlan, type Tree } from './detector.ts';

export async function gemfile(file: string, tree: Tree): Promise<DetectedPlan | string> {
  const locked = hasFile(tree, 'Gemfile.lock');
  const env: Record<string, string> = { BUNDLE_PATH: 'vendor/bundle' };
  if (locked) env['BUNDLE_FROZEN'] = 'true';
  const runner = await testRunner(tree);
  if (runner === undefined) return `${file} has no RSpec, Rails or Rakefile with tests beside it`;
  const steps = [step('install', 'setup', ['bundle', 'install'], env), step('test', 'run-tests', ['bundle', 'exec', ...runner.argv], env)];
  return { steps, reason: `the tree has ${file}${locked ? ' with Gemfile.lock' : ''} and ${runner.reason}` };
}

async function testRunner(tree: Tree): Promise<{ readonly argv: readonly string[]; readonly reason: string } | undefined> {
  const rspec = firstFile(tree, ['.rspec']) ?? tree.paths().find((path) => /^spec\/.*_spec\.rb$/.test(path));
  if (rspec !== undefined) return { argv: ['rspec'], reason: rspec };
  if (hasFile(tree, 'bin/rails')) return { argv: ['rails', 'test'], reason: 'bin/rails' };
  const rakefile = firstFile(tree, ['rakefile', 'Rakefile', 'rakefile.rb', 'Rakefile.rb']);
  const tasks = rakefile === undefined ? '' : (await textOf(tree, rakefile)).replaceAll(/^[ \t]*#[^\n]*/gm, '');
  if (/\bTestTask\b|\btask[ (]+["':]?test\b/.test(tasks)) return { argv: ['rake', 'test'], reason: `a ${rakefile} with the task "test"` };
  if (/\btask[ (]+["':]?default\b/.test(tasks)) return { argv: ['rake'], reason: `a ${rakefile} with a default task` };
  return undefined;
}
