/** The environment of an `/exec`: what Go's buildlet makes of the request, over our allow-list (`passed`) instead of all that the buildlet has. */
import { delimiter, join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { checkAskedEnvironment, commandTempDir } from '../commands/environment.ts';

export interface ExecPlace {
  readonly workDir: string;
  readonly cwd: string;
  readonly cacheDirs: Readonly<Record<string, string>>;
  /** GOROOT_BOOTSTRAP of every command. */
  readonly bootstrap: string;
}

export interface AskedEnvironment {
  /** `NAME=VALUE` each; one without `=` is left out. */
  readonly env: readonly string[];
  /** Elements of PATH, with `$PATH`, `$WORKDIR` and `$EMPTY` in them; none leaves PATH alone. */
  readonly path: readonly string[];
}

/** Directories of which each command gets one, beside the trees of its work. */
export function cacheDirs(workDir: string): Readonly<Record<string, string>> {
  return { TMPDIR: commandTempDir(workDir), GOCACHE: join(workDir, 'gocache'), GOPLSCACHE: join(workDir, 'goplscache') };
}

/** In the order in which a debug line tells it: a name that is set again moves to the end. @throws CroftError `invalid` */
export function execEnvironment(
  passed: Readonly<Record<string, string>>,
  asked: AskedEnvironment,
  place: ExecPlace,
): Record<string, string> {
  const { workDir, cwd, bootstrap } = place;
  const env = Object.assign(Object.create(null) as Record<string, string>, passed);
  const set = (name: string, value: string): void => {
    delete env[name];
    env[name] = value;
  };
  set('WORKDIR', workDir);
  set('GOROOT_BOOTSTRAP', bootstrap);
  for (const [name, value] of askedPairs(asked.env)) set(name, value);
  for (const [name, value] of Object.entries(place.cacheDirs)) set(name, value);
  const before = env['PATH'] ?? '';
  const path = expandPath(asked.path, { path: before, workDir });
  if (asked.path.length > 0 && path !== before) set('PATH', path);
  set('PWD', cwd);
  return env;
}

/** One pass from left to right; elements that end up empty are dropped. */
function expandPath(elements: readonly string[], { path, workDir }: { path: string; workDir: string }): string {
  const values: Readonly<Record<string, string>> = { $PATH: path, $WORKDIR: workDir, $EMPTY: '' };
  return elements
    .map((element) => element.replace(/\$(?:PATH|WORKDIR|EMPTY)/g, (name) => values[name] ?? ''))
    .filter((element) => element !== '')
    .join(delimiter);
}

/** What an `/exec` may set is what a run may set. */
function askedPairs(env: readonly string[]): [string, string][] {
  const pairs = env
    .filter((entry) => entry.indexOf('=') > 0)
    .map((entry): [string, string] => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]);
  checkAskedEnvironment(Object.fromEntries(pairs));
  if (pairs.some(([name]) => name.includes('\0'))) throw new CroftError('invalid', 'the name of an environment variable holds a NUL');
  return pairs;
}
