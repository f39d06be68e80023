/**
 * Python projects. A lock file decides who installs; else a virtual environment in the tree, with what the project says that its tests
 * need, or with the runner that it declares (tox, nox, Hatch), which makes an environment of its own.
 */
import type { Step } from '../job.ts';
import { firstFile, hasFile, step, textOf, type DetectedPlan, type Tree } from './detector.ts';
import { testRunner, type Runner } from './python-tests.ts';
import { hasKey, hasTable, withoutTomlComments } from './toml-lines.ts';

export async function pythonProject(file: string, tree: Tree): Promise<DetectedPlan | string> {
  const text = withoutTomlComments(await textOf(tree, file));
  const project: Project = {
    file,
    text,
    tree,
    extra: named(text, 'project.optional-dependencies'),
    group: named(text, 'dependency-groups'),
  };
  const manager = managers.find(({ locks, table }) => firstFile(tree, locks) !== undefined || (table !== undefined && table.test(text)));
  const runner = await testRunner({ ...project, isManaged: manager !== undefined });
  if (runner === undefined && !isPackage(project)) return `${file} has no sign of tests and nothing to build`;
  const { install, run, build } = manager === undefined ? ownEnvironment(project, runner) : managed(manager, project);
  const lock = manager && firstFile(tree, manager.locks);
  const reason = `${file}${manager === undefined ? '' : lock === undefined ? ` for ${manager.name}` : ` with ${lock}`}`;
  if (runner === undefined) return { steps: [...install, step('build', 'build', build)], reason: `${reason} and no sign of tests` };
  return { steps: [...install, step('test', 'run-tests', [...run, ...runner.argv])], reason: `${reason} and ${runner.reason}` };
}

export interface Project {
  readonly file: string;
  readonly text: string;
  readonly tree: Tree;
  /** The extra and the dependency group whose names say that the tests need them. */
  readonly extra: string | undefined;
  readonly group: string | undefined;
}

function named(text: string, table: string): string | undefined {
  return ['test', 'tests', 'testing', 'dev'].find((name) => hasKey(text, table, name));
}

/** Is it something to install, and not only where formatters and linters keep their settings? */
function isPackage({ file, text, tree }: Project): boolean {
  return (
    file === 'setup.py' ||
    (file === 'pyproject.toml' &&
      (hasFile(tree, 'setup.py') || ['project', 'build-system', 'tool.poetry'].some((table) => hasTable(text, table))))
  );
}

interface Environment {
  readonly install: readonly Step[];
  /** What goes before `python`'s arguments. */
  readonly run: readonly string[];
  readonly build: readonly string[];
}

interface Manager {
  readonly name: string;
  readonly locks: readonly string[];
  /** Declares it where there is no lock. */
  readonly table?: RegExp;
  install(project: Project): readonly string[];
  readonly run: readonly string[];
}

const managers: readonly Manager[] = [
  {
    name: 'uv',
    locks: ['uv.lock'],
    install: ({ extra, group }) => ['uv', 'sync', '--locked', ...flag('--extra', extra), ...flag('--group', group)],
    run: ['uv', 'run', '--no-sync'],
  },
  {
    name: 'poetry',
    locks: ['poetry.lock'],
    table: /^[ \t]*\[tool\.poetry\.(?:group|dev-dependencies)\b/m,
    install: ({ extra }) => ['poetry', 'install', '--no-interaction', ...flag('--extras', extra)],
    run: ['poetry', 'run'],
  },
  {
    name: 'pdm',
    locks: ['pdm.lock'],
    install: ({ extra, group }) => ['pdm', 'sync', ...flag('--group', group ?? extra)],
    run: ['pdm', 'run'],
  },
];

/** Few machines have the manager, and any Python can fetch it: beside the tree's own files, and only where it is missing. */
function managed({ name, install, run }: Manager, project: Project): Environment {
  const fetched = 'command -v "$1" >/dev/null || { python3 -m venv .croft-python && .croft-python/bin/python -m pip install "$1"; }';
  const found = ['sh', '-c', 'PATH="$PATH:$PWD/.croft-python/bin"; exec "$@"', 'sh'];
  return {
    install: [step(name, 'setup', ['sh', '-c', fetched, 'sh', name]), step('install', 'setup', [...found, ...install(project)])],
    run: [...found, ...run, 'python'],
    build: [...found, name, 'build'],
  };
}

/** Below the tree, and nothing but it and Python is needed. */
function ownEnvironment(project: Project, runner: Runner | undefined): Environment {
  const python = '.venv/bin/python';
  const install = [python, '-m', 'pip', 'install'];
  const wanted = runner === undefined ? [] : [...runner.packages, ...(runner.isAlone ? [] : requirements(project))];
  const needsGroups = wanted.includes('--group');
  return {
    install: [
      step('venv', 'setup', ['python3', '-m', 'venv', '.venv']),
      // Groups need pip 25.1, which is newer than what many a Python brings.
      ...(needsGroups ? [step('pip', 'setup', [...install, '--upgrade', 'pip'])] : []),
      ...(wanted.length > 0 ? [step('install', 'setup', [...install, ...wanted])] : []),
    ],
    run: [python],
    build: [python, '-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', 'dist', '.'],
  };
}

const testRequirements = ['requirements-dev.txt', 'requirements-test.txt', 'dev-requirements.txt', 'test-requirements.txt'];

function requirements(project: Project): string[] {
  const { tree, extra, group } = project;
  const asPackage = isPackage(project);
  const files = [...(asPackage ? [] : ['requirements.txt']), ...((extra ?? group) ? [] : testRequirements)];
  return [
    ...flag('--group', group),
    ...files.filter((path) => hasFile(tree, path)).flatMap((path) => ['--requirement', path]),
    ...(asPackage ? ['--editable', extra === undefined ? '.' : `.[${extra}]`] : []),
  ];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}
