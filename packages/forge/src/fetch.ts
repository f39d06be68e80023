/** What a source has, and how a mirror gets it: branches and HEAD, exactly as they are now, whatever they were before. */
import fs from 'node:fs';
import { join } from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { MINUTE, type Waits } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { isBranchName } from './branch-name.ts';
import type { Git, GitResult } from './git-command.ts';
import type { RepositoryUrl } from './repository-url.ts';
import { readLocalRefs } from './local-refs.ts';
import { forgetWriter, noteWriter } from './stale-writer.ts';

export interface Place {
  readonly git: Git;
  /** Of the mirror. */
  readonly dir: string;
  readonly url: RepositoryUrl;
}

export interface Refs {
  readonly heads: ReadonlyMap<string, Revision>;
  /** The branch that HEAD is on, `HEAD` when it is on none, undefined when it is nowhere. */
  readonly head: string | undefined;
  /** Where HEAD is when it is on no branch. */
  readonly detached: Revision | undefined;
}

const fetchMs = 30 * MINUTE;
const listMs = 2 * MINUTE;
/** Holds the source's HEAD while that is on no branch, as in a checkout made by a CI. */
const detachedRef = 'refs/croft/head';
/** Never exists; where HEAD points while the source's is nowhere. */
const noRef = 'refs/croft/none';
/** The mirror is tidied up now and then, not by every fetch. */
const fetchFlags = '--quiet --force --no-tags --update-shallow --no-write-fetch-head --no-recurse-submodules --no-auto-maintenance'.split(
  ' ',
);

/**
 * One listing when nothing changed; a shallow source may have got deeper all the same, so that is always fetched from.
 * @returns what the mirror has afterwards; `before` itself when no ref changed
 */
export async function fetchRefs(place: Place, before: Refs, waits: Waits): Promise<Refs> {
  const remote = await listRemote(place, waits);
  const same = sameRefs(before, remote);
  if (same && shallowBoundary(place.dir) === undefined) return before;
  await matchFormat(place, { before, remote }, waits);
  const detached = remote.detached ? [`+HEAD:${detachedRef}`] : [];
  if (remote.heads.size + detached.length + before.heads.size > 0) {
    await fetch(place, ['--prune', '--', place.url.text, '+refs/heads/*:refs/heads/*', ...detached], waits);
  }
  const target = remote.detached ? detachedRef : remote.head === undefined ? noRef : `refs/heads/${remote.head}`;
  if (headOf(place.dir) !== target) await place.git.run({ args: [`--git-dir=${place.dir}`, 'symbolic-ref', 'HEAD', target], ...waits });
  if (same) return before;
  return isListed(place.dir, before, remote) ? remote : readRefs(place, waits);
}

/** Where history ends although there is more; undefined in a mirror that has all. */
export function shallowBoundary(dir: string): string | undefined {
  return readIfThere(join(dir, 'shallow'));
}

/** More are found as quickly by a listing. */
const fewBranches = 8;

/**
 * Without a listing: for branches that are here already. Undefined when this does not do, and everything must be looked at: one
 * is new or was deleted, none has moved, or the source cannot be reached.
 */
export async function fetchBranches(
  place: Place,
  { before, names }: { before: Refs; names: readonly string[] },
  waits: Waits,
): Promise<Refs | undefined> {
  const known = names.every((name) => isBranchName(name) && before.heads.has(name));
  if (names.length === 0 || names.length > fewBranches || !known || shallowBoundary(place.dir) !== undefined) return undefined;
  requireLocal(place.url);
  const refs = names.map((name) => `+refs/heads/${name}:refs/heads/${name}`);
  if ((await tryFetch(place, ['--', place.url.text, ...refs], waits)).code !== 0) return undefined;
  const heads = new Map(before.heads);
  for (const name of names) {
    const id = readIfThere(join(place.dir, 'refs/heads', name)) ?? before.heads.get(name);
    if (id !== undefined) heads.set(name, parseRevision(id));
  }
  const after = { ...before, heads };
  return sameRefs(before, after) ? undefined : after;
}

/** Whether what was fetched is what was listed before, which saves a process: git writes a ref that has changed into a file of its own. */
function isListed(dir: string, before: Refs, { heads, detached }: Refs): boolean {
  const changed = [...heads].filter(([name, id]) => before.heads.get(name) !== id).map(([name, id]) => [`refs/heads/${name}`, id] as const);
  const wanted = detached === undefined || detached === before.detached ? changed : [...changed, [detachedRef, detached] as const];
  return wanted.every(([name, id]) => !name.includes('..') && readIfThere(join(dir, name)) === id);
}

function readIfThere(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function headOf(dir: string): string | undefined {
  return /^ref: (\S+)/.exec(fs.readFileSync(join(dir, 'HEAD'), 'utf8'))?.[1];
}

/** Makes an empty mirror. */
export async function initialise({ git, dir }: Place, format: 'sha1' | 'sha256', waits: Waits): Promise<void> {
  await git.run({ args: ['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, '--', dir], ...waits });
}

/** An empty mirror takes the kind of object ids that the source has. */
async function matchFormat(place: Place, { before, remote }: { before: Refs; remote: Refs }, waits: Waits): Promise<void> {
  const [id] = [remote.detached, ...remote.heads.values()].filter((revision) => revision !== undefined);
  const long = /objectformat = sha256/i.test(fs.readFileSync(join(place.dir, 'config'), 'utf8'));
  if (id === undefined || before.heads.size > 0 || before.detached || (id.length === 64) === long) return;
  fs.rmSync(place.dir, { recursive: true });
  await initialise(place, long ? 'sha1' : 'sha256', waits);
}

/** One commit that no branch has, as far as the source hands it out. */
export async function fetchRevision(place: Place, revision: Revision, waits: Waits): Promise<void> {
  requireLocal(place.url);
  await fetch(place, ['--', place.url.text, revision], waits);
}

/** What the mirror has. */
export async function readRefs({ git, dir }: Place, waits: Waits): Promise<Refs> {
  const args = [`--git-dir=${dir}`, 'for-each-ref', '--format=%(objectname) %(refname)', 'refs/heads', detachedRef];
  const refs = parseRefs((await git.run({ args, ...waits })).toString('utf8'), ' ');
  const target = headOf(dir);
  return refsOf(headsIn(refs), target === detachedRef ? refs.get(detachedRef) : undefined, target);
}

async function listRemote({ git, url }: Place, waits: Waits): Promise<Refs> {
  requireLocal(url);
  const own = url.kind === 'local' ? readLocalRefs(url.text) : undefined;
  if (own) return refsOf(own.heads, own.detached, own.target);
  const args = ['ls-remote', '--quiet', '--symref', '--', url.text, 'HEAD', 'refs/heads/*'];
  const result = await git.call({ args, env: credentialEnv(url), limitMs: listMs, ...waits });
  if (result.code !== 0) throw sourceFailure(url, result);
  const text = result.stdout.toString('utf8');
  const target = /^ref: (\S+)\tHEAD$/m.exec(text)?.[1];
  const refs = parseRefs(text.replace(/^ref: .*\n/gm, ''), '\t');
  const onBranch = target?.startsWith('refs/heads/') === true;
  return refsOf(headsIn(refs), onBranch ? undefined : refs.get('HEAD'), target);
}

const branchPrefix = 'refs/heads/';

function refsOf(heads: ReadonlyMap<string, Revision>, detached: Revision | undefined, target: string | undefined): Refs {
  const branch = target?.startsWith(branchPrefix) ? target.slice(branchPrefix.length) : undefined;
  return { heads, detached, head: detached ? 'HEAD' : branch !== undefined && heads.has(branch) ? branch : undefined };
}

function headsIn(refs: ReadonlyMap<string, Revision>): Map<string, Revision> {
  const heads = [...refs].filter(([name]) => name.startsWith(branchPrefix));
  return new Map(heads.map(([name, id]) => [name.slice(branchPrefix.length), id]));
}

function parseRefs(text: string, separator: string): Map<string, Revision> {
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(line.indexOf(separator) + 1), parseRevision(line.slice(0, line.indexOf(separator)))]));
}

function sameRefs(a: Refs, b: Refs): boolean {
  return (
    a.head === b.head &&
    a.detached === b.detached &&
    a.heads.size === b.heads.size &&
    [...a.heads].every(([name, id]) => b.heads.get(name) === id)
  );
}

async function fetch(place: Place, args: readonly string[], waits: Waits): Promise<void> {
  const result = await tryFetch(place, args, waits);
  if (result.code !== 0) throw sourceFailure(place.url, result);
}

async function tryFetch({ git, dir, url }: Place, args: readonly string[], waits: Waits): Promise<GitResult> {
  // A mirror of a shallow clone asks for what the clone got since.
  const deepen = shallowBoundary(dir) === undefined ? [] : ['--unshallow'];
  const result = await git.call({
    args: [`--git-dir=${dir}`, 'fetch', ...fetchFlags, ...deepen, ...args],
    env: credentialEnv(url),
    limitMs: fetchMs,
    onStart: (pid) => noteWriter(dir, pid),
    ...waits,
  });
  forgetWriter(dir);
  return result;
}

function requireLocal(url: RepositoryUrl): void {
  if (url.kind !== 'local') return;
  try {
    fs.accessSync(url.text, fs.constants.R_OK);
  } catch (error) {
    const gone = systemCode(error) === 'ENOENT';
    throw new CroftError(gone ? 'not-found' : 'forbidden', `repository ${url.shown} ${gone ? 'is not there' : 'cannot be read'}`, {
      cause: error,
      hint: gone ? 'Put it back, or correct its path in the configuration.' : 'Give the user who runs Croft the right to read it.',
    });
  }
}

/** Credentials for the source's host alone, where neither a command line nor a file shows them. */
export function credentialEnv(url: RepositoryUrl): Record<string, string> {
  if (url.kind === 'local' || !url.credentials) return {};
  return {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `credential.${new URL(url.text).origin}.helper`,
    GIT_CONFIG_VALUE_0: `!printf 'username=%s\\npassword=%s\\n' "$SOURCE_USERNAME" "$SOURCE_PASSWORD"; :`,
    SOURCE_USERNAME: url.credentials.username,
    SOURCE_PASSWORD: url.credentials.password.reveal(),
  };
}

const causes: readonly { readonly says: RegExp; readonly code: 'not-found' | 'unauthenticated' | 'unavailable'; readonly hint: string }[] =
  [
    {
      says: /authentication failed|could not read (?:username|password)|permission denied|access denied|error: 40[13]/i,
      code: 'unauthenticated',
      hint: 'Put a user and token into its address, or give the user who runs Croft an ssh key that may read it.',
    },
    {
      says: /host key verification failed/i,
      code: 'unavailable',
      hint: 'Add the host to the known_hosts file of the user who runs Croft.',
    },
    {
      says: /not appear to be a git repository|not a git repository|repository .*not found|does not exist|error: 404/i,
      code: 'not-found',
      hint: 'Check that the repository is still there, or correct its address in the configuration.',
    },
  ];

function sourceFailure({ shown }: RepositoryUrl, { stderr }: GitResult): CroftError {
  const found = causes.find(({ says }) => says.test(stderr));
  const hint = found?.hint ?? 'It is tried again at the next look; if it stays, run git fetch by hand to see why.';
  return new CroftError(found?.code ?? 'unavailable', `fetching ${shown}: ${stderr}`, { hint });
}
