/** CMake, in a directory of its own; tests where the project enables them. */
import { step, textOf, type DetectedPlan, type Tree } from './detector.ts';

const dir = 'cmake-build';

export async function cmakeLists(file: string, tree: Tree): Promise<DetectedPlan> {
  const commands = (await textOf(tree, file)).replaceAll(/#[^\n]*/g, '');
  const steps = [
    step('configure', 'setup', ['cmake', '-S', '.', '-B', dir]),
    step('build', 'build', ['cmake', '--build', dir, '--parallel', '4']),
  ];
  const enabler = /\benable_testing\s*\(/i.test(commands)
    ? 'enable_testing'
    : /\binclude\s*\(\s*CTest\b/i.test(commands)
      ? 'CTest'
      : undefined;
  if (enabler === undefined) return { steps, reason: `${file} enables no tests` };
  const test = { ...step('test', 'run-tests', ['ctest', '--output-on-failure']), dir };
  return { steps: [...steps, test], reason: `${file} enables tests by ${enabler}` };
}
