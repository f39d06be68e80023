/** Deno: its tasks, else its own test runner. */
import { groupOf, hasFile, parseJson, step, textOf, type DetectedPlan, type Tree } from './detector.ts';

export async function denoJson(file: string, tree: Tree): Promise<DetectedPlan> {
  const tasks = groupOf(groupOf(parseJson(withoutComments(await textOf(tree, file)), file))['tasks']);
  const locked = hasFile(tree, 'deno.lock');
  const steps = [
    ...(locked ? [step('install', 'setup', ['deno', 'install', '--frozen'])] : []),
    ...('build' in tasks ? [step('build', 'build', ['deno', 'task', 'build'])] : []),
  ];
  const seen = `${file}${locked ? ' with deno.lock' : ''}`;
  if ('test' in tasks)
    return { steps: [...steps, step('test', 'run-tests', ['deno', 'task', 'test'])], reason: `${seen} has the task "test"` };
  const test = step('test', 'run-tests', ['deno', 'test', '--allow-all', '--permit-no-files']);
  return { steps: [...steps, test], reason: `${seen} has no task "test", so Deno's own tests` };
}

/** JSON with comments and commas at ends, as Deno reads both of its files; texts stay as they are, also one that never ends. */
function withoutComments(text: string): string {
  const bare = text.replaceAll(/"[^"\\]*(?:\\[^][^"\\]*)*"?|\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)/g, (part) =>
    part.startsWith('"') ? part : ' ',
  );
  return bare.replaceAll(/"[^"\\]*(?:\\[^][^"\\]*)*"?|,(?=\s*[}\]])/g, (part) => (part === ',' ? '' : part));
}
