/** Rust packages and workspaces. */
import { hasFile, step, type DetectedPlan, type Tree } from './detector.ts';

export function cargoToml(file: string, tree: Tree): DetectedPlan {
  const locked = hasFile(tree, 'Cargo.lock') ? ['--locked'] : [];
  const steps = [
    step('build', 'build', ['cargo', 'build', '--all-targets', ...locked]),
    step('test', 'run-tests', ['cargo', 'test', ...locked]),
  ];
  return { steps, reason: `the tree has ${file}${locked.length > 0 ? ' and Cargo.lock' : ''}` };
}
