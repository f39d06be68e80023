/**
 * Every check of the repository: types, lint, format, unused code, style, layers, docs. `check.ts [NAME …]` runs those named.
 * Prints a line per check as it ends, then what each found; exits 1 when any found something.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';

const commands: Readonly<Record<string, readonly string[]>> = {
  types: ['tsc', '--project', '.', '--pretty', 'false'],
  lint: ['oxlint', '--format=unix'],
  format: ['oxfmt', '--list-different', '.'],
  unused: ['knip', '--no-progress', '--no-config-hints'],
  style: ['node', 'tools/check-style.ts'],
  layers: ['node', 'tools/check-layers.ts'],
  docs: ['node', '--disable-warning=ExperimentalWarning', 'tools/check-docs.ts'],
};
const hints: Readonly<Record<string, string>> = { format: 'These files are not formatted; `npm run format` does it.' };
const concurrency = 2;

interface CheckEnd {
  readonly name: string;
  readonly passed: boolean;
  readonly elapsedMs: number;
  readonly output: string;
}

process.exitCode = await main(process.argv.slice(2));

async function main(asked: readonly string[]): Promise<number> {
  const names = asked.length > 0 ? asked : Object.keys(commands);
  const unknown = names.filter((name) => !(name in commands));
  if (unknown.length > 0) {
    process.stderr.write(`no check is called ${unknown.join(', ')}; there are: ${Object.keys(commands).join(', ')}\n`);
    return 2;
  }
  standAlone();
  const queue = [...names];
  const ends: CheckEnd[] = [];
  const worker = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const end = await runCheck(name, commands[name] ?? []);
      ends.push(end);
      process.stdout.write(`${end.passed ? 'ok  ' : 'FAIL'} ${name.padEnd(8)} ${(end.elapsedMs / 1_000).toFixed(1).padStart(6)} s\n`);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const failed = names.flatMap((name) => ends.filter((end) => end.name === name && !end.passed));
  for (const { name, output } of failed) process.stdout.write(`\n${name}: ${hints[name] ?? ''}\n${output.trim()}\n`);
  return failed.length > 0 ? 1 : 0;
}

/** The tools obey every .gitignore above them: a tree without .git inside an ignored folder, as a build's is, would look empty. */
function standAlone(): void {
  if (!existsSync('.git')) spawnSync('git', ['init', '--quiet'], { stdio: 'ignore' });
}

/** The pinned programs come first, whoever called this. */
async function runCheck(name: string, [program = '', ...args]: readonly string[]): Promise<CheckEnd> {
  const startedAt = performance.now();
  const path = [join(process.cwd(), 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter);
  const child = spawn(program, args, { env: { ...process.env, PATH: path, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close').then(
    ([code]) => (code === 0 ? '' : `exit code ${code}`),
    (error: unknown) => `could not be started: ${String(error)}`,
  );
  const [out, err, failure] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  const output = `${out}${err}`.trim() || failure;
  return { name, passed: failure === '', output, elapsedMs: performance.now() - startedAt };
}
