/** Git LFS: which files of a tree are pointers, and the objects they point at, from the source's own store or through `git lfs`. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { quoteName } from '@croft/streams/quote-name';
import { credentialEnv, type Place } from './fetch.ts';
import { commonDirOf } from './submodules.ts';
import type { TreeEntry } from './git.ts';

export interface Pointer {
  /** SHA-256 of the object. */
  readonly oid: string;
  readonly size: number;
}

const maxPointerBytes = 1024;
let indexes = 0;

/** Undefined when the content is no pointer (git-lfs specification, version 1). */
export function parsePointer(content: Buffer): Pointer | undefined {
  if (content.length > maxPointerBytes || !content.toString('latin1', 0, 43).startsWith('version https://git-lfs.github.com/spec/v1\n'))
    return undefined;
  const text = content.toString('latin1');
  const oid = /^oid sha256:([0-9a-f]{64})$/m.exec(text)?.[1];
  const size = /^size (\d{1,15})$/m.exec(text)?.[1];
  return oid !== undefined && size !== undefined ? { oid, size: Number(size) } : undefined;
}

/** The files that the tree's attributes hand to LFS, as byte strings. */
export async function lfsPaths(
  { git, dir }: Place,
  { tree, entries }: { tree: string; entries: readonly TreeEntry[] },
  waits: Waits,
): Promise<Set<string>> {
  const files = entries.filter(({ mode }) => mode === '100644' || mode === '100755').map(({ path }) => path.toString('latin1'));
  if (!files.some((path) => /(?:^|\/)\.gitattributes$/.test(path))) return new Set();
  indexes += 1;
  const index = join(dir, `croft-index-${process.pid}-${indexes}`);
  const env = { GIT_INDEX_FILE: index };
  try {
    await git.run({ args: [`--git-dir=${dir}`, 'read-tree', tree], env, ...waits });
    const input = Buffer.from(files.map((path) => `${path}\0`).join(''), 'latin1');
    const output = await git.run({ args: [`--git-dir=${dir}`, 'check-attr', '--cached', '-z', '--stdin', 'filter'], env, input, ...waits });
    const fields = output.toString('latin1').split('\0');
    return new Set(fields.filter((_, at) => at % 3 === 0 && fields[at + 2] === 'lfs'));
  } finally {
    fs.rmSync(index, { force: true });
    fs.rmSync(`${index}.lock`, { force: true });
  }
}

export interface LfsStore {
  /** The content of a pointer's object, checked against it while it is read. */
  open(path: Buffer, pointer: Pointer): Promise<AsyncIterable<Buffer>>;
}

/** @param revision whose objects are fetched, all at once, when the first one is not there */
export function createLfsStore(place: Place, revision: string, waits: Waits): LfsStore {
  let stores: Promise<string[]> | undefined;
  let fetched = false;
  const find = async ({ oid, size }: Pointer): Promise<string | undefined> => {
    stores ??= storesOf(place, waits);
    const files = (await stores).map((store) => join(store, oid.slice(0, 2), oid.slice(2, 4), oid));
    return files.find((file) => fs.statSync(file, { throwIfNoEntry: false })?.size === size);
  };
  return {
    async open(path, pointer) {
      let file = await find(pointer);
      if (file === undefined && !fetched) {
        fetched = true;
        await fetchObjects(place, revision, waits);
        file = await find(pointer);
      }
      if (file === undefined) throw unavailable(path, `object ${pointer.oid} is neither at the source nor on its LFS server`);
      return checked(file, pointer, path);
    },
  };
}

async function storesOf(place: Place, waits: Waits): Promise<string[]> {
  const own = join(place.dir, 'lfs', 'objects');
  return place.url.kind === 'local' && fs.existsSync(place.url.text)
    ? [join(await commonDirOf(place, waits), 'lfs', 'objects'), own]
    : [own];
}

async function fetchObjects({ git, dir, url }: Place, revision: string, waits: Waits): Promise<void> {
  const credentials = credentialEnv(url);
  const at = credentials['GIT_CONFIG_COUNT'] ?? '0';
  const env = {
    ...credentials,
    GIT_CONFIG_COUNT: String(Number(at) + 1),
    [`GIT_CONFIG_KEY_${at}`]: 'remote.origin.url',
    [`GIT_CONFIG_VALUE_${at}`]: url.text,
  };
  const { code, stderr } = await git.call({
    args: [`--git-dir=${dir}`, 'lfs', 'fetch', 'origin', revision],
    env,
    limitMs: fetchMs,
    ...waits,
  });
  if (code === 0) return;
  const missing = /is not a git command/.test(stderr);
  const why = missing ? 'they are not at the source and git-lfs is not installed' : stderr;
  throw new CroftError('unavailable', `fetching the LFS objects of ${revision} from ${url.shown}: ${why}`, { hint });
}

async function* checked(file: string, { oid, size }: Pointer, path: Buffer): AsyncGenerator<Buffer, void> {
  const hash = createHash('sha256');
  for await (const chunk of fs.createReadStream(file, { end: Math.max(0, size - 1), highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== oid) throw unavailable(path, `the object in ${file} is damaged`);
}

const fetchMs = 1_800_000;
const hint = 'Install git-lfs where Croft runs, run "git lfs fetch" in the source, or build without LFS.';

function unavailable(path: Buffer, why: string): CroftError {
  return new CroftError('unavailable', `LFS file ${quoteName(path.toString('latin1'))}: ${why}`, { hint });
}
