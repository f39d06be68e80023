/** Packages for Node and Bun: the lock file decides who installs, the scripts what is run. */
import { firstFile, groupOf, hasFile, parseJson, step, textOf, textsBelow, type DetectedPlan, type Tree } from './detector.ts';

export async function packageJson(file: string, tree: Tree): Promise<DetectedPlan | string> {
  const described = parseJson(await textOf(tree, file), file);
  const { name, program, install, reason } = installer(tree, groupOf(described)['packageManager']);
  const scripts = textsBelow(described, 'scripts');
  const has = (script: string): boolean => (scripts.get(script) ?? '').trim() !== '' && !scripts.get(script)?.includes(noTest);
  const steps = [step('install', 'setup', [...program, ...install])];
  if (has('build')) steps.push(step('build', 'build', [...program, 'run', 'build']));
  if (has('test')) {
    // `bun test` is Bun's own runner, and not the script.
    const argv = name === 'bun' ? [...program, 'run', 'test'] : [...program, 'test'];
    return { steps: [...steps, step('test', 'run-tests', argv)], reason: `${file} ${reason} has the script "test"` };
  }
  if (has('build')) return { steps, reason: `${file} ${reason} has the script "build" and no "test"` };
  return `${file} has no script "test" or "build"`;
}

/** In the script that `npm init` writes where there are no tests. */
const noTest = 'Error: no test specified';

interface Installer {
  readonly name: string;
  /** Begins every command. */
  readonly program: readonly string[];
  readonly install: readonly string[];
  readonly reason: string;
}

interface PackageManager {
  readonly name: string;
  readonly locks: readonly string[];
  /** Exactly what the lock says. */
  readonly locked: readonly string[];
  readonly unlocked: readonly string[];
}

/** In the order in which their locks count. */
const others: readonly PackageManager[] = [
  { name: 'pnpm', locks: ['pnpm-lock.yaml'], locked: ['install', '--frozen-lockfile', '--prefer-offline'], unlocked: ['install'] },
  { name: 'yarn', locks: ['yarn.lock'], locked: ['install', '--frozen-lockfile', '--prefer-offline'], unlocked: ['install'] },
  { name: 'bun', locks: ['bun.lock', 'bun.lockb'], locked: ['install', '--frozen-lockfile'], unlocked: ['install'] },
];

/** Comes last: its lock is often left behind by those who went on to another. */
const npm: PackageManager = {
  name: 'npm',
  locks: ['npm-shrinkwrap.json', 'package-lock.json'],
  locked: ['ci', '--prefer-offline'],
  unlocked: ['install', '--no-audit', '--no-fund'],
};

/** What `packageManager` names (`pnpm@10.1.0`), else whose lock is there, else npm. */
function installer(tree: Tree, declared: unknown): Installer {
  const [, named, major = ''] = /^(npm|pnpm|yarn|bun)@(\d+)/.exec(typeof declared === 'string' ? declared : '') ?? [];
  const lockOf = ({ locks }: PackageManager): string | undefined => firstFile(tree, locks);
  const manager = [...others, npm].find(({ name }) => name === named) ?? others.find((one) => lockOf(one) !== undefined) ?? npm;
  const { name, locked, unlocked } = manager;
  const lock = lockOf(manager);
  const reason = `${named === undefined ? '' : `for ${named} `}${lock === undefined ? 'without a lock file' : `with ${lock}`}`;
  const hasCorepack = name === 'pnpm' || name === 'yarn';
  const program = hasCorepack ? [...(named === undefined ? corepackLast : corepackFirst), name] : [name];
  const isModernYarn = name === 'yarn' && (Number(major) >= 2 || hasFile(tree, '.yarnrc.yml'));
  if (isModernYarn) return { name, program, install: ['install', lock === undefined ? '--no-immutable' : '--immutable'], reason };
  return { name, program, install: lock === undefined ? unlocked : locked, reason };
}

/**
 * Corepack brings the very version that `packageManager` names, and where none is named it stands in for a program that is missing. Not
 * every machine has it; then the program itself must do.
 */
const corepackFirst = ['sh', '-c', 'command -v corepack >/dev/null && exec corepack "$@"; exec "$@"', 'sh'];
const corepackLast = ['sh', '-c', 'command -v "$1" >/dev/null || ! command -v corepack >/dev/null || exec corepack "$@"; exec "$@"', 'sh'];
