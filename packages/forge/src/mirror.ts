/**
 * A bare mirror of one repository in our data directory. We are its only writer; fetches are one at a time, everything else may run
 * beside them. Whatever happens to the source (force pushes, deleted branches, shallow history, foreign ownership), the mirror
 * follows; when it vanishes, the mirror stays.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { openGit, type GitProgram } from './git-program.ts';
import { openObjects, type Objects } from './objects.ts';
import { checkUrl, isLocal, redactUrl } from './repo-url.ts';
import { sourceTar, type SourceOptions } from './source-tar.ts';

export interface Commit {
  readonly revision: Revision;
  readonly parents: readonly Revision[];
  readonly authorName: string;
  readonly authorEmail: string;
  /** Epoch ms. */
  readonly committedAt: number;
  readonly subject: string;
  readonly body: string;
}

export interface TreeEntry {
  readonly mode: '100644' | '100755' | '120000' | '160000';
  readonly type: 'blob' | 'commit';
  readonly id: string;
  readonly path: Buffer;
}

export interface Branch {
  readonly name: string;
  readonly revision: Revision;
}

/** Every call throws CroftError: `not-found` for a revision or branch that is not there, `unavailable` when git fails. */
export interface Mirror extends AsyncDisposable {
  /** @throws CroftError `unavailable` when the source cannot be read; what was fetched before stays. */
  fetch(waits: Waits): Promise<{ changed: boolean }>;
  /** By name. A source whose HEAD is on no branch has one more, called `HEAD`. */
  branches(waits: Waits): Promise<Branch[]>;
  /** The branch its HEAD is on, or `HEAD`; undefined for an empty repository. */
  defaultBranch(waits: Waits): Promise<string | undefined>;
  /** Newest first along the first parents. `position`: how many commits that line has, which is the newest one's number. */
  commits(range: { from: string; limit: number }, waits: Waits): Promise<{ commits: Commit[]; position: number }>;
  tree(revision: Revision, waits: Waits): Promise<TreeEntry[]>;
  /** Undefined when there is no such file. @throws CroftError `exhausted` when it is longer than `maxBytes` */
  readFile(revision: Revision, path: string, waits: Waits, maxBytes: number): Promise<Buffer | undefined>;
  /** A tar.gz that unpacks to exactly the tree of the revision. */
  sourceTar(revision: Revision, waits: Waits, options: SourceOptions): AsyncIterable<Buffer>;
}

export interface MirrorOptions {
  /** Of the mirror; made when missing. */
  readonly dir: string;
  /** A path or an address; may hold a password, which never leaves this object. */
  readonly url: string;
  readonly clock: Clock;
  /** A directory of ours for git's own settings. */
  readonly gitHome: string;
  /** Where programs are found. */
  readonly path?: string;
}

const fetchMs = 30 * MINUTE;
const detached = 'refs/croft/head';

export async function openMirror({ dir, url, clock, gitHome, path = '/usr/local/bin:/usr/bin:/bin' }: MirrorOptions): Promise<Mirror> {
  checkUrl(url);
  const git = await openGit({ home: gitHome, path, clock });
  const objects = openObjects(dir, git.env, clock);
  let turn: Promise<unknown> = Promise.resolve();
  let initialised = false;
  const fetch = async (waits: Waits): Promise<{ changed: boolean }> => {
    if (!initialised) await initialise(git, dir, waits);
    initialised = true;
    return fetchAll(git, { dir, url }, waits);
  };
  const mirror: Mirror = {
    fetch(waits) {
      const mine = turn.then(() => fetch(waits));
      turn = mine.catch(() => undefined);
      return mine;
    },
    branches: (waits) => readBranches(git, dir, waits),
    defaultBranch: async (waits) => {
      const head = (await readRef(git, dir, ['symbolic-ref', '-q', '--short', 'HEAD'], waits))?.replace(/^heads\//, '');
      const names = (await readBranches(git, dir, waits)).map((branch) => branch.name);
      return names.includes('HEAD') ? 'HEAD' : names.includes(head ?? '') ? head : names[0];
    },
    commits: (range, waits) => readCommits(git, dir, range, waits),
    tree: (revision, waits) => readTree(git, dir, revision, waits),
    readFile: (revision, file, waits, maxBytes) => readFile(git, objects, { dir, revision, file, maxBytes }, waits),
    sourceTar: (revision, waits, options) => sourceTar({ mirror, git, objects, dir, url, clock, gitHome, path }, revision, waits, options),
    async [Symbol.asyncDispose]() {
      await turn;
      await objects[Symbol.asyncDispose]();
    },
  };
  return mirror;
}

async function initialise(git: GitProgram, dir: string, waits: Waits): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await removeStaleLocks(dir);
  await git.run(['init', '--quiet', '--bare', dir], waits);
}

/** A fetch that was killed leaves locks behind; nobody else writes here, so whatever is there at our start is stale. */
async function removeStaleLocks(dir: string): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  const stale = names.filter((name) => name.endsWith('.lock') || /objects\/(pack|[0-9a-f]{2})\/tmp_/.test(name));
  for (const name of stale) await rm(join(dir, name), { force: true });
}

async function fetchAll(git: GitProgram, { dir, url }: { dir: string; url: string }, waits: Waits): Promise<{ changed: boolean }> {
  await requireSource(url);
  const before = await listRefs(git, dir, waits);
  const flags = ['--quiet', '--force', '--prune', '--no-tags', '--update-shallow', '--no-write-fetch-head', '--no-recurse-submodules'];
  const call = { dir, timeoutMs: fetchMs, ...waits };
  try {
    const heads = await git.run(['ls-remote', '--symref', '--', url, 'HEAD'], call);
    const [, branch] = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(heads.toString('utf8')) ?? [];
    const loose = branch === undefined && heads.length > 0 ? [`+HEAD:${detached}`] : [];
    await git.run(['fetch', ...flags, '--', url, '+refs/heads/*:refs/heads/*', ...loose], call);
    if (branch !== undefined) {
      await git.run(['symbolic-ref', 'HEAD', `refs/heads/${branch}`], call);
      await git.run(['update-ref', '-d', detached], call);
    }
  } catch (error) {
    if (!isCode(error, 'unavailable')) throw error;
    const hint = 'Check that the address is right and that this user may read it; Croft tries again at the next poll.';
    throw new CroftError('unavailable', `repository ${redactUrl(url)} cannot be read: ${error.message}`, { cause: error.cause, hint });
  }
  return { changed: before !== (await listRefs(git, dir, waits)) };
}

async function requireSource(url: string): Promise<void> {
  if (!isLocal(url)) return;
  const path = url.replace(/^file:\/\//, '');
  await stat(path).catch((error: unknown) => {
    const hint = 'Check the path, or give another repository.';
    throw new CroftError('unavailable', `repository ${path} is not there`, { cause: error, hint });
  });
}

async function listRefs(git: GitProgram, dir: string, waits: Waits): Promise<string> {
  return (await git.run(['for-each-ref', '--format=%(objectname) %(refname)'], { dir, ...waits })).toString('utf8');
}

async function readBranches(git: GitProgram, dir: string, waits: Waits): Promise<Branch[]> {
  await requireMirror(dir);
  const lines = (await listRefs(git, dir, waits)).split('\n').filter((line) => line !== '');
  return lines.flatMap((line): Branch[] => {
    const space = line.indexOf(' ');
    const ref = line.slice(space + 1);
    const name = ref === detached ? 'HEAD' : ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : undefined;
    return name === undefined ? [] : [{ name, revision: parseRevision(line.slice(0, space)) }];
  });
}

async function requireMirror(dir: string): Promise<void> {
  await stat(join(dir, 'HEAD')).catch((error: unknown) => {
    throw new CroftError('unavailable', 'the repository has not been fetched yet', { cause: error });
  });
}

async function readRef(git: GitProgram, dir: string, args: readonly string[], waits: Waits): Promise<string | undefined> {
  try {
    return (await git.run(args, { dir, ...waits })).toString('utf8').trim() || undefined;
  } catch (error) {
    if (isCode(error, 'unavailable')) return undefined;
    throw error;
  }
}

const commitFormat = '--format=%H%x00%P%x00%an%x00%ae%x00%ct%x00%s%x00%b%x00';

async function readCommits(git: GitProgram, dir: string, { from, limit }: { from: string; limit: number }, waits: Waits): Promise<{ commits: Commit[]; position: number }> {
  const tip = await resolve(git, dir, from, waits);
  const line = ['--first-parent', tip, '--'];
  const [log, count] = await Promise.all([
    git.run(['log', '-z', `--max-count=${limit}`, commitFormat, '--encoding=UTF-8', '--no-show-signature', ...line], { dir, ...waits }),
    git.run(['rev-list', '--count', ...line], { dir, ...waits }),
  ]);
  const fields = log.toString('utf8').split('\0');
  const commits: Commit[] = [];
  for (let at = 0; at + 7 < fields.length; at += 8) {
    const [revision = '', parents = '', authorName = '', authorEmail = '', seconds = '', subject = '', body = ''] = fields.slice(at, at + 7);
    commits.push({
      revision: parseRevision(revision),
      parents: parents.split(' ').filter(Boolean).map(parseRevision),
      ...{ authorName, authorEmail, subject, body: body.trimEnd() },
      committedAt: Number(seconds) * 1000,
    });
  }
  return { commits, position: Number(count.toString('latin1')) };
}

async function resolve(git: GitProgram, dir: string, from: string, waits: Waits): Promise<string> {
  const ref = from === 'HEAD' ? detached : /^[0-9a-f]{40,64}$/.test(from) ? from : `refs/heads/${from}`;
  const found = await readRef(git, dir, ['rev-parse', '--quiet', '--verify', '--end-of-options', `${ref}^{commit}`], waits);
  if (found === undefined) throw new CroftError('not-found', `the repository has no branch or revision "${from}"`);
  return found;
}

async function readTree(git: GitProgram, dir: string, revision: Revision, waits: Waits): Promise<TreeEntry[]> {
  const output = await git.run(['ls-tree', '-r', '-z', '--full-tree', revision], { dir, ...waits }).catch((error: unknown) => {
    if (!isCode(error, 'unavailable')) throw error;
    throw new CroftError('not-found', `the repository has no revision ${revision}`, { cause: error });
  });
  const entries: TreeEntry[] = [];
  for (let at = 0; at < output.length; ) {
    const tab = output.indexOf(9, at);
    const end = output.indexOf(0, tab);
    const [mode, type, id = ''] = output.toString('latin1', at, tab).split(' ') as [TreeEntry['mode'], TreeEntry['type'], string];
    entries.push({ mode, type, id, path: output.subarray(tab + 1, end) });
    at = end + 1;
  }
  return entries;
}

async function readFile(
  git: GitProgram,
  objects: Objects,
  { dir, revision, file, maxBytes }: { dir: string; revision: Revision; file: string; maxBytes: number },
  waits: Waits,
): Promise<Buffer | undefined> {
  const entry = (await readTree(git, dir, revision, waits)).find((candidate) => candidate.path.equals(Buffer.from(file)) && candidate.type === 'blob');
  if (!entry) return undefined;
  for await (const object of objects.read([entry.id])) {
    if (!object) break;
    if (object.size > maxBytes) throw new CroftError('exhausted', `${file} is ${object.size} bytes long; at most ${maxBytes} are read`);
    return Buffer.concat(await Array.fromAsync(object.content));
  }
  throw new CroftError('unavailable', `the content of ${file} is missing from the repository`);
}
