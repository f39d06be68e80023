/**
 * A repository of its own beside a tree: exactly this commit checked out, with so much of its history, and nothing of ours in it: no
 * address, no credential, no hook. It is made in the mirror's directory, read into an archive, and removed.
 */
import fs from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Revision } from '@croft/domain/names';
import { MINUTE, type Waits } from '@croft/runtime/clock';
import type { TarEntry } from '@croft/streams/tar-pack';
import type { Place } from './fetch.ts';

/** Below a mirror; a killed predecessor may have left something there. */
export const draftsDir = 'croft-checkouts';
const makeMs = 30 * MINUTE;

/** @param depth how many commits; `full`: all that the mirror has */
export async function* gitDirectoryEntries(
  place: Place,
  revision: Revision,
  { depth, signal }: Waits & { readonly depth: number | 'full' },
): AsyncGenerator<TarEntry> {
  const drafts = join(place.dir, draftsDir);
  await mkdir(drafts, { recursive: true, mode: 0o700 });
  const draft = await mkdtemp(join(drafts, 'git-'));
  try {
    const git = (...args: string[]): Promise<unknown> => place.git.run({ args: [`--git-dir=${draft}`, ...args], signal, limitMs: makeMs });
    const format = revision.length === 64 ? 'sha256' : 'sha1';
    await git('init', '--quiet', '--template=', '--initial-branch=main', `--object-format=${format}`);
    const shallow = depth === 'full' ? [] : [`--depth=${depth}`];
    await git(
      'fetch',
      '--quiet',
      '--no-tags',
      '--update-shallow',
      '--no-write-fetch-head',
      ...shallow,
      pathToFileURL(place.dir).href,
      revision,
    );
    await git('update-ref', '--no-deref', 'HEAD', revision);
    await git('read-tree', revision);
    await git('config', 'core.bare', 'false');
    yield* entriesOf(draft, '.git');
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function* entriesOf(directory: string, name: string): AsyncGenerator<TarEntry> {
  yield { kind: 'directory', path: Buffer.from(name) };
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const [at, path] = [join(directory, entry.name), `${name}/${entry.name}`];
    if (entry.isDirectory()) yield* entriesOf(at, path);
    else {
      const { size, mode } = fs.statSync(at);
      const content = size === 0 ? Buffer.alloc(0) : fs.createReadStream(at);
      yield { kind: 'file', path: Buffer.from(path), mode: mode & 0o777, mtime: 0, size, content };
    }
  }
}
