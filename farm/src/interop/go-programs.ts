/**
 * Go's own buildlet and gomote, and our driver over its client and its reverse pool (`farm/interop/`), built with the installed `go` and kept
 * below `.croft/interop`. Their sources are, in this order: those of a clone of golang/build that `CROFT_GO_BUILD_SOURCES` names, at
 * the commit of mid-2022; the same commit from the module proxy; where that has no such commit, the pinned newest version. Nothing of
 * them is in this repository.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { anySignal, MINUTE, systemClock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';

export interface GoPrograms {
  /** Which sources they were made of, as reports name them: `Go of 2022-07 (529c4e31021c)`. */
  readonly version: string;
  /** Path of Go's buildlet. Always pass `-halt=false` and a work directory: it would switch this machine off. */
  readonly buildlet: string;
  /** Path of our driver of Go's client and pool. */
  readonly driver: string;
  /** Path of Go's gomote, which speaks v2. */
  readonly gomote: string;
  /** Where the sources are those of mid-2022, whose gomote speaks v1 as well. */
  readonly older: OlderPrograms | undefined;
}

export interface OlderPrograms {
  /** Calls the `gomote` beside it. */
  readonly racebuild: string;
  /** The gomote of mid-2017, with v1 alone. */
  readonly gomote2017: string;
}

export interface GoProgramsOptions {
  /** What `go` and `git` see; names the sources. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told what takes long. */
  readonly progress?: (text: string) => void;
  readonly signal?: AbortSignal;
}

const module = 'golang.org/x/build';
const commitOf2022 = '529c4e31021c';
const commitOf2017 = '885c07b0b0fa';
const nameOf2022 = `Go of 2022-07 (${commitOf2022})`;
const pinned = {
  version: 'v0.0.0-20260918145456-c0ee0fbd16a3',
  name: 'Go of 2026-09 (c0ee0fbd16a3)',
  sum: 'h1:P/ZpSC3ncjmnH7WfyotTStXk3Vm2SKXvR0Re7l1FjTs=',
};
/** Ours, by where they are put into Go's tree: its pool is internal, and the buildlet that it would give away is private. */
const ourDirs = { driver: 'croft/driver', pool: 'internal/coordinator/pool' };
const ourRoot = fileURLToPath(new URL('../../interop/', import.meta.url));
const cacheDir = fileURLToPath(new URL('../../../.croft/interop/', import.meta.url));
const downloadMs = 2 * MINUTE;
const buildMs = 8 * MINUTE;
const lockedPollMs = 200;
const retryMs = 5 * MINUTE;
/**
 * What a proxy answers, or `go` itself, of a module that is not there; and of one that will not be had in the next minutes either. `invalid
 * version` says nothing: `go` puts it before a network that fails as well.
 */
const absent = /403 Forbidden|404 Not Found|410 Gone|reading file:.* no such file|unknown revision|disabled by GOPROXY/;
const lasting = new RegExp(`${absent.source}|checksum mismatch|is not what it was`);
const run = promisify(execFile);

/**
 * Builds them the first time, which takes a minute or two.
 * @returns the reason where they cannot be had; one that may pass is looked for again the next time
 * @throws the signal's reason; CroftError when the named sources are not there, or when what is there does not compile
 */
export async function goPrograms(options: GoProgramsOptions): Promise<GoPrograms | { readonly missing: string }> {
  const go = await findGo(options.env);
  if (!go) return { missing: 'no go is installed' };
  await mkdir(cacheDir, { recursive: true });
  const dir = join(cacheDir, await cacheName(go.version, options.env));
  const found = await kept(dir);
  if (found) return found;
  using _ = await lock(options);
  const made = (await kept(dir)) ?? (await make(dir, go.path, options));
  if ('missing' in made && lasting.test(made.missing)) await writeFile(`${dir}.missing`, made.missing);
  return made;
}

async function findGo(env: GoProgramsOptions['env']): Promise<{ path: string; version: string } | undefined> {
  for (const path of ['go', '/usr/local/go/bin/go']) {
    const found = await run(path, ['version'], { env: goEnvironment(env) }).catch(() => undefined);
    if (found) return { path, version: found.stdout.trim() };
  }
  return undefined;
}

/** The caches of whoever runs this are used: a second clone builds in seconds. */
function goEnvironment(env: GoProgramsOptions['env']): Record<string, string | undefined> {
  const own = { GOFLAGS: '-buildvcs=false -modcacherw', GOTOOLCHAIN: 'local', GOWORK: 'off', CGO_ENABLED: '0', GIT_TERMINAL_PROMPT: '0' };
  const homeless = env['HOME'] || env['GOPATH'] ? {} : { GOPATH: join(cacheDir, 'go'), GOCACHE: join(cacheDir, 'cache') };
  return { ...env, ...homeless, ...own };
}

/** Other sources, another go or another driver are built anew. */
async function cacheName(goVersion: string, { CROFT_GO_BUILD_SOURCES: sources }: GoProgramsOptions['env']): Promise<string> {
  const hash = createHash('sha256').update(
    `${goVersion} ${sources || 'module'} ${commitOf2022} ${commitOf2017} ${pinned.version} clients\n`,
  );
  const files = (await readdir(ourRoot, { recursive: true })).filter((name) => name.endsWith('.go')).toSorted();
  for (const file of files) hash.update(`${file}\n`).update(await readFile(join(ourRoot, file)));
  return `${sources ? 'sources' : 'module'}-${hash.digest('hex').slice(0, 16)}`;
}

/** What was made before, or why it could not be a moment ago: a suite asks once for each of its files. */
async function kept(dir: string): Promise<GoPrograms | { readonly missing: string } | undefined> {
  const made = await readFile(join(dir, 'version'), 'utf8').catch(() => undefined);
  if (made !== undefined) return programsIn(dir, made.trim());
  const missing = await stat(`${dir}.missing`).catch(() => undefined);
  if (!missing || systemClock.now() - missing.mtimeMs > retryMs) return undefined;
  return { missing: await readFile(`${dir}.missing`, 'utf8') };
}

function programsIn(dir: string, version: string): GoPrograms {
  const older = version === nameOf2022 ? { racebuild: join(dir, 'racebuild'), gomote2017: join(dir, 'gomote2017') } : undefined;
  return { version, older, buildlet: join(dir, 'buildlet'), driver: join(dir, 'driver'), gomote: join(dir, 'gomote') };
}

/** The kernel frees it when its owner is killed. */
async function lock({ progress, signal }: GoProgramsOptions): Promise<Disposable> {
  for (let told = false; ; told = true) {
    const database = new DatabaseSync(join(cacheDir, 'lock'));
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
      return { [Symbol.dispose]: () => database.close() };
    } catch {
      database.close();
    }
    if (!told) progress?.('waiting for another process that builds Go’s programs');
    await systemClock.sleep(lockedPollMs, signal ? { signal } : {});
  }
}

async function make(dir: string, go: string, options: GoProgramsOptions): Promise<GoPrograms | { readonly missing: string }> {
  const making = `${dir}.making`;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(making, { recursive: true, force: true }));
  const tree = join(making, 'tree');
  await rm(making, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  const runIn = async (cwd: string, [program = '', ...args]: readonly string[], limitMs: number): Promise<string> => {
    const signal = anySignal(options.signal, systemClock.deadline(limitMs));
    return (await run(program, args, { cwd, signal, env: goEnvironment(options.env), maxBuffer: 1024 ** 2 * 16 })).stdout;
  };
  const version = await putSources(tree, { go, runIn, options });
  if (typeof version !== 'string') return version;
  await removeClouds(join(tree, ourDirs.pool));
  for (const [name, place] of Object.entries(ourDirs)) await cp(join(ourRoot, name), join(tree, place), { recursive: true });
  options.progress?.(`building ${version}: its buildlet and gomote, and our driver of it`);
  const build = (where: string, to: string, wanted: readonly string[]): Promise<string> =>
    runIn(where, [go, 'build', '-o', join(making, to), ...wanted], buildMs).catch((cause: unknown) => {
      throw new CroftError('invalid', `build ${wanted.join(', ')} of ${version} with ${go}`, { cause });
    });
  await build(tree, '/', ['./cmd/buildlet', './cmd/gomote', './croft/driver', ...(version === nameOf2022 ? ['./cmd/racebuild'] : [])]);
  if (version === nameOf2022) {
    const oldest = join(making, 'oldest');
    await mkdir(oldest);
    await putCommit(oldest, commitOf2017, { go, runIn, options });
    for (const name of ['go.mod', 'go.sum']) await cp(join(tree, name), join(oldest, name)); // it is older than modules
    await build(oldest, 'gomote2017', ['-mod=mod', './cmd/gomote']);
    await rm(oldest, { recursive: true });
  }
  await rm(tree, { recursive: true });
  await writeFile(join(making, 'version'), `${version}\n`);
  await removeOlder(dir);
  await rename(making, dir);
  return programsIn(dir, version);
}

interface Sources {
  readonly go: string;
  readonly options: GoProgramsOptions;
  runIn(cwd: string, command: readonly string[], limitMs: number): Promise<string>;
}

/** @returns what they are called, or why there are none */
async function putSources(tree: string, sources: Sources): Promise<string | { readonly missing: string }> {
  const { options } = sources;
  options.progress?.(`fetching ${module}`);
  if (options.env['CROFT_GO_BUILD_SOURCES']) {
    await putCommit(tree, commitOf2022, sources);
    return nameOf2022;
  }
  const old = await putModule(tree, commitOf2022, sources);
  if ('sum' in old) return nameOf2022;
  if (!absent.test(old.missing)) return old;
  const put = await putModule(tree, pinned.version, sources);
  if ('missing' in put) return put;
  return put.sum === pinned.sum ? pinned.name : { missing: `${module}@${pinned.version} is not what it was: ${put.sum}` };
}

/** From the clone that is named, else from the module proxy. */
async function putCommit(tree: string, commit: string, sources: Sources): Promise<void> {
  const named = sources.options.env['CROFT_GO_BUILD_SOURCES'];
  if (!named) {
    const put = await putModule(tree, commit, sources);
    if ('missing' in put) throw new CroftError('unavailable', put.missing);
    return;
  }
  const archive = `${tree}.tar`;
  await sources.runIn(tree, ['git', '-C', named, 'archive', '--output', archive, commit], downloadMs).catch((cause: unknown) => {
    const hint = 'CROFT_GO_BUILD_SOURCES names a clone of golang/build, bare or not, that holds this commit.';
    throw new CroftError('invalid', `take ${commit} from ${named}`, { cause, hint });
  });
  await sources.runIn(tree, ['tar', '-xf', archive], downloadMs);
  await rm(archive);
}

/** @returns its checksum, or why it cannot be had. @throws the signal's reason, and what fails on this machine */
async function putModule(
  tree: string,
  version: string,
  { go, runIn, options }: Sources,
): Promise<{ readonly sum: string } | { readonly missing: string }> {
  const wanted = `${module}@${version}`;
  let said: string;
  try {
    said = await runIn(tree, [go, 'mod', 'download', '-json', wanted], downloadMs);
  } catch (error) {
    options.signal?.throwIfAborted();
    const [, why] = /"Error": "(.*)"/.exec((error as { stdout?: string }).stdout ?? '') ?? [];
    return { missing: `${wanted} cannot be had: ${why ?? errorText(error).trim().split('\n').at(-1)}` };
  }
  const { Dir, Sum } = JSON.parse(said) as { Dir: string; Sum: string };
  await runIn(tree, ['cp', '-R', `${Dir}/.`, tree], downloadMs);
  await runIn(tree, ['chmod', '-R', 'u+w', tree], downloadMs);
  return { sum: Sum };
}

/** Of the pool only what is about reverse buildlets: its clouds take minutes to compile. */
async function removeClouds(pool: string): Promise<void> {
  const files = (await readdir(pool)).filter((name) => name.endsWith('.go') && name !== 'reverse.go');
  await Promise.all(files.map((name) => rm(join(pool, name))));
}

/** Those that the same kind of sources gave before. */
async function removeOlder(dir: string): Promise<void> {
  const [kind] = dir.slice(cacheDir.length).split('-');
  for (const name of await readdir(cacheDir)) {
    if (name.startsWith(`${kind}-`) && !name.endsWith('.making')) await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}
