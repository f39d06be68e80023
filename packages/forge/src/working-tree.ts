/**
 * A person's working tree: the files that git tracks or would track, as they lie on the disk, uncommitted changes and all. Git is
 * asked with that person's own settings, so what it ignores for them is ignored here.
 */
import { createReadStream } from 'node:fs';
import { lstat, readFile, readlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Waits } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { quoteName } from '@croft/streams/quote-name';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { openGit, type Git, type GitOptions } from './git-command.ts';
import type { SourceOptions, TreeEntry } from './git.ts';

export interface WorkingFile {
  /** A submodule is a directory, whose files are not listed. */
  readonly mode: TreeEntry['mode'];
  /** Bytes, relative to the root. */
  readonly path: Buffer;
}

export interface WorkingTree {
  readonly root: string;
  /** Undefined when HEAD is on no branch. */
  readonly branch: string | undefined;
  /** Address of the remote `origin`, perhaps with credentials. */
  readonly origin: string | undefined;
  files(waits: Waits): Promise<WorkingFile[]>;
  /** Undefined when there is no such file. @throws CroftError `exhausted` when it is larger than `maxBytes` */
  readFile(path: string, maxBytes: number): Promise<Buffer | undefined>;
  /** LFS objects are what lies there; submodules take part where asked for and checked out. A failure shows while reading. */
  sourceTar(waits: Waits, options: Pick<SourceOptions, 'submodules'> & { readonly gzipLevel?: number }): AsyncIterable<Buffer>;
}

export interface WorkingTreeOptions extends GitOptions {
  /** In the tree. */
  readonly dir: string;
  /** Whose settings count. */
  readonly userHome: string | undefined;
}

/** @throws CroftError `not-found` where there is no repository with a working tree */
export async function openWorkingTree({ dir, userHome, ...options }: WorkingTreeOptions, waits: Waits): Promise<WorkingTree> {
  const git = openGit(options);
  const env = userHome === undefined ? {} : { HOME: userHome, GIT_CONFIG_GLOBAL: join(userHome, '.gitconfig') };
  const ask: Ask = (at, args) => git.call({ args: ['-C', at, ...args], env, ...waits });
  const { code, stdout, stderr } = await ask(dir, ['rev-parse', '--show-toplevel']);
  const root = stdout.toString('utf8').trimEnd();
  if (code !== 0 || root === '') {
    throw new CroftError('not-found', `${dir} is in no working tree of git: ${stderr || 'it is a bare repository'}`, {
      hint: 'Go into a clone, or make one with: git init',
    });
  }
  const said = async (...args: string[]): Promise<string | undefined> =>
    (await ask(root, args)).stdout.toString('utf8').trim() || undefined;
  return {
    root,
    branch: await said('symbolic-ref', '--quiet', '--short', 'HEAD'),
    origin: await said('config', '--get', 'remote.origin.url'),
    files: () => listFiles(root, ask),
    readFile: (path, maxBytes) => readSmall(resolve(root, path), path, maxBytes),
    sourceTar: (tarWaits, { submodules, gzipLevel }) =>
      packTarGz(entriesOf(root, { ask, submodules, prefix: Buffer.alloc(0), ...tarWaits }), { level: gzipLevel }),
  };
}

type Ask = (dir: string, args: readonly string[]) => ReturnType<Git['call']>;

/** What git tracks or would, less what was deleted since. */
async function listFiles(root: string, ask: Ask): Promise<WorkingFile[]> {
  const { code, stdout, stderr } = await ask(root, ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate']);
  if (code !== 0) throw new CroftError('internal', `listing the files of ${root}: ${stderr}`);
  const names = stdout
    .toString('latin1')
    .split('\0')
    .filter((name) => name !== '');
  const files: WorkingFile[] = [];
  for (const name of new Set(names.map((one) => one.replace(/\/$/, '')))) {
    const path = Buffer.from(name, 'latin1');
    const mode = await modeOf(absolute(root, path));
    if (mode !== undefined) files.push({ mode, path });
  }
  return files;
}

async function modeOf(path: Buffer): Promise<TreeEntry['mode'] | undefined> {
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) return '120000';
    if (found.isDirectory()) return '160000';
    if (!found.isFile()) return undefined;
    return (found.mode & 0o100) === 0 ? '100644' : '100755';
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

async function readSmall(path: string, shown: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    const found = await lstat(path);
    if (!found.isFile()) return undefined;
    if (found.size > maxBytes) throw new CroftError('exhausted', `${quoteName(shown)} is larger than ${maxBytes} bytes`);
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

interface Walk extends Waits {
  readonly ask: Ask;
  readonly submodules: boolean;
  readonly prefix: Buffer;
}

const streamedBytes = 4 * 1024 * 1024;

/** A large file that shrinks while it is read fails the archive; of one that grows the first part is taken. */
async function* entriesOf(root: string, walk: Walk): AsyncGenerator<TarEntry, void> {
  for (const { mode, path } of await listFiles(root, walk.ask)) {
    walk.signal?.throwIfAborted();
    const at = absolute(root, path);
    const named = Buffer.concat([walk.prefix, path]);
    if (mode === '120000') yield { kind: 'link', path: named, target: await readlink(at, 'buffer') };
    else if (mode !== '160000') yield await fileEntry(at, named, mode);
    else {
      yield { kind: 'directory', path: named };
      const inner = { ...walk, prefix: Buffer.concat([named, Buffer.from('/')]) };
      if (walk.submodules && (await isCheckedOut(at))) yield* entriesOf(at.toString(), inner);
    }
  }
}

async function fileEntry(at: Buffer, path: Buffer, mode: TreeEntry['mode']): Promise<TarEntry> {
  const { size, mtimeMs } = await lstat(at);
  const file = { kind: 'file', path, mode: mode === '100755' ? 0o755 : 0o644, mtime: Math.floor(mtimeMs / 1_000) } as const;
  if (size > streamedBytes) return { ...file, size, content: createReadStream(at, { end: size - 1 }) };
  const content = await readFile(at);
  return { ...file, size: content.length, content };
}

async function isCheckedOut(at: Buffer): Promise<boolean> {
  return (await modeOf(Buffer.concat([at, Buffer.from('/.git')]))) !== undefined;
}

function absolute(root: string, path: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), path]);
}
