/** A real git repository in a fresh directory, and commits to it. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Text, bytes, an executable file, a symbolic link, or nothing any more. */
export type RepoFile = string | Uint8Array | { readonly executable: string } | { readonly link: string } | undefined;
export type RepoFiles = Readonly<Record<string, RepoFile>>;

export interface TestRepo extends AsyncDisposable {
  readonly dir: string;
  /** The newest commit on the branch that is checked out. */
  readonly head: string;
  /** Writes the files over what is there, commits everything; the new revision. */
  commit(files: RepoFiles, subject?: string): Promise<string>;
  git(...args: string[]): Promise<string>;
}

/** A text alone is the script of an executable `.ci/run`. */
export async function makeRepo(content: RepoFiles | string): Promise<TestRepo> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-repo-'));
  const git = (...args: string[]): Promise<string> => runGit(dir, args);
  await git('init', '--quiet', '--initial-branch=main');
  let head = '';
  let commits = 0;
  const commit: TestRepo['commit'] = async (files, subject = `commit ${commits + 1}`) => {
    for (const [path, file] of Object.entries(files)) await put(join(dir, path), file);
    await git('add', '--all');
    await git('commit', '--quiet', '--allow-empty', `--message=${subject}`);
    commits += 1;
    head = (await git('rev-parse', 'HEAD')).trim();
    return head;
  };
  await commit(typeof content === 'string' ? { '.ci/run': { executable: content } } : content);
  return {
    dir,
    get head() {
      return head;
    },
    commit,
    git,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

async function put(path: string, file: RepoFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true, recursive: true });
  if (file === undefined) return;
  if (typeof file === 'string' || file instanceof Uint8Array) return writeFile(path, file);
  if ('link' in file) return symlink(file.link, path);
  await writeFile(path, file.executable);
  await chmod(path, 0o755);
}

/** Nothing of the user's own settings decides what a commit is. */
const identity = ['user.name=Croft tests', 'user.email=tests@croft.invalid', 'commit.gpgSign=false'];
const settings = [...identity, 'core.autocrlf=false', 'core.hooksPath=/dev/null', 'init.templateDir='].flatMap((setting) => [
  '-c',
  setting,
]);

async function runGit(dir: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('git', [...settings, `--git-dir=${join(dir, '.git')}`, `--work-tree=${dir}`, ...args], {
    cwd: dir,
  });
  return stdout;
}
