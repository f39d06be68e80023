/** Who runs the tests of a Python project: what it declares, else what its first test file is written for. */
import { firstFile, hasFile, textOf } from './detector.ts';
import type { Project } from './python.ts';
import { hasKey } from './toml-lines.ts';

export interface Runner {
  /** Arguments of `python`. */
  readonly argv: readonly string[];
  /** What pip has to fetch for it. */
  readonly packages: readonly string[];
  /** It installs the project by itself, in an environment of its own. */
  readonly isAlone: boolean;
  readonly reason: string;
}

/** `isManaged`: there is a package manager's environment, so a runner that makes one of its own is not asked. */
export async function testRunner(project: Project & { readonly isManaged: boolean }): Promise<Runner | undefined> {
  const { file, text, tree, extra, group } = project;
  const declaresPytest = /(?<![\w-])pytest\b/.test(text);
  const knowsNeeds = project.isManaged || (declaresPytest && (extra ?? group) !== undefined);
  const declared = knowsNeeds ? undefined : await ownRunner(project);
  if (declared !== undefined) return declared;
  if (declaresPytest) return pytest(`pytest in ${file}`);
  const settings = firstFile(tree, ['pytest.ini', 'conftest.py', 'tests/conftest.py']);
  const guessed = settings === undefined ? await byTestFile(project) : pytest(settings);
  // A manager's environment has what is declared and nothing else.
  return project.isManaged && guessed?.packages.length !== 0 ? undefined : guessed;
}

function pytest(reason: string): Runner {
  return { argv: ['-m', 'pytest'], packages: ['pytest'], isAlone: false, reason };
}

async function ownRunner({ file, text, tree }: Project): Promise<Runner | undefined> {
  const alone = (name: string, args: readonly string[], reason: string): Runner => {
    return { argv: ['-m', name, ...args], packages: [name], isAlone: true, reason };
  };
  // `py` is the environment of the tests with the Python that there is.
  if (hasFile(tree, 'tox.ini')) return alone('tox', ['run', '-e', 'py'], 'tox.ini');
  if (/^[ \t]*\[tool\.tox\b/m.test(text)) return alone('tox', ['run', '-e', 'py'], `tox in ${file}`);
  const [, session] = /^def (tests?)\(/m.exec(await textOf(tree, 'noxfile.py')) ?? [];
  const nox = ['--no-error-on-missing-interpreters', '--session'];
  if (session !== undefined) return alone('nox', [...nox, session], `a noxfile.py with the session "${session}"`);
  if (hasKey(text, 'tool.hatch.envs.default.scripts', 'test')) return alone('hatch', ['run', 'test'], 'a script "test" of Hatch');
  if (/^[ \t]*\[tool\.hatch\.envs\.hatch-test\b/m.test(text)) return alone('hatch', ['test'], `tests of Hatch in ${file}`);
  return undefined;
}

const testFile = /^(?:tests?\/(?:[^/]+\/)*)?(?:test_[^/]*|[^/]*_test|tests)\.py$/;

/** unittest for what is written for it, pytest, which takes plain functions, for everything else. */
async function byTestFile({ tree }: Project): Promise<Runner | undefined> {
  const path = tree.paths().find((candidate) => testFile.test(candidate) && hasFile(tree, candidate));
  if (path === undefined) return undefined;
  const text = await textOf(tree, path);
  if (!/^[ \t]*(?:import|from) unittest\b/m.test(text) || /^[ \t]*(?:import|from) pytest\b/m.test(text)) return pytest(path);
  const directory = path.includes('/') ? (path.split('/')[0] ?? '.') : '.';
  const isImported = directory === '.' || hasFile(tree, `${directory}/__init__.py`);
  const place = ['--start-directory', directory, ...(isImported ? ['--top-level-directory', '.'] : [])];
  const pattern = /(?:^|\/)test[^/]*$/.test(path) ? [] : ['--pattern', '*_test.py'];
  return { argv: ['-m', 'unittest', 'discover', ...place, ...pattern], packages: [], isAlone: false, reason: `unittest in ${path}` };
}
