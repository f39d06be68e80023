/** Maven and Gradle, by the wrapper that lies in the tree where there is one. */
import { hasFile, isExecutable, step, type DetectedPlan, type Tree } from './detector.ts';

export function pomXml(file: string, tree: Tree): DetectedPlan {
  const { program, reason } = wrapped(tree, 'mvnw', 'mvn');
  const quiet = ['--batch-mode', '--no-transfer-progress'];
  const steps = [
    step('build', 'build', [...program, ...quiet, '-DskipTests', 'package']),
    step('test', 'run-tests', [...program, ...quiet, 'verify']),
  ];
  return { steps, reason: `the tree has ${file}${reason}` };
}

export function buildGradle(file: string, tree: Tree): DetectedPlan {
  const { program, reason } = wrapped(tree, 'gradlew', 'gradle');
  const quiet = ['--no-daemon', '--console=plain'];
  const steps = [step('build', 'build', [...program, ...quiet, 'assemble']), step('test', 'run-tests', [...program, ...quiet, 'check'])];
  return { steps, reason: `the tree has ${file}${reason}` };
}

function wrapped(tree: Tree, wrapper: string, program: string): { readonly program: readonly string[]; readonly reason: string } {
  if (isExecutable(tree, wrapper)) return { program: [`./${wrapper}`], reason: ` and an executable ${wrapper}` };
  if (hasFile(tree, wrapper)) return { program: ['sh', wrapper], reason: ` and ${wrapper} (not executable, so run by sh)` };
  return { program: [program], reason: ` and no ${wrapper}` };
}
