/** Where the submodules of a tree come from: the addresses in its `.gitmodules`, and what a local source has of them already. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { quoteName } from '@croft/streams/quote-name';
import type { Place } from './fetch.ts';
import { parseRepositoryUrl, submoduleUrl, type RepositoryUrl } from './repository-url.ts';
import type { TreeEntry } from './git.ts';

export interface Submodule {
  readonly name: string;
  readonly url: string;
}

/** By path, as byte strings. @throws CroftError `invalid` when the tree's `.gitmodules` is missing or broken */
export async function readSubmodules({ git, dir }: Place, entries: readonly TreeEntry[], waits: Waits): Promise<Map<string, Submodule>> {
  const file = entries.find((entry) => entry.path.equals(Buffer.from('.gitmodules')) && entry.mode !== '120000');
  if (!file)
    throw new CroftError('invalid', 'the tree has submodules but no .gitmodules file', { hint: 'Add it, or build without submodules.' });
  const args = [
    `--git-dir=${dir}`,
    'config',
    '--no-includes',
    `--blob=${file.id}`,
    '-z',
    '--get-regexp',
    String.raw`^submodule\..*\.(path|url)$`,
  ];
  const { code, stdout, stderr } = await git.call({ args, ...waits });
  if (code > 1 || code < 0) throw new CroftError('invalid', `.gitmodules cannot be read: ${stderr}`);
  const values = new Map(stdout.toString('latin1').split('\0').map(keyAndValue));
  const modules = new Map<string, Submodule>();
  for (const [key, path] of values) {
    const name = /^submodule\.(.*)\.path$/s.exec(key)?.[1];
    const url = name === undefined ? undefined : values.get(`submodule.${name}.url`);
    if (name !== undefined && url !== undefined) modules.set(path, { name, url: Buffer.from(url, 'latin1').toString('utf8') });
  }
  return modules;
}

/** A key holds no newline; a value may. */
function keyAndValue(record: string): [string, string] {
  const end = record.indexOf('\n');
  return end < 0 ? [record, ''] : [record.slice(0, end), record.slice(end + 1)];
}

/**
 * Addresses to try in order. A local source may have the submodule checked out; a relative address of a local clone is meant
 * from where the clone came from.
 */
export async function submoduleSources(place: Place, path: Buffer, { name, url }: Submodule, waits: Waits): Promise<RepositoryUrl[]> {
  const named = submoduleUrl(place.url, url);
  if (place.url.kind !== 'local') return [named];
  const own = name.split('/').includes('..') ? [] : [join(await commonDirOf(place, waits), 'modules', name)];
  const origin = url.startsWith('.') ? await originOf(place, waits) : undefined;
  const sources = [...own.map(parseRepositoryUrl), named, ...(origin ? [submoduleUrl(origin, url)] : [])];
  const there = sources.filter((source) => source.kind === 'remote' || fs.existsSync(source.text));
  if (there.length > 0) return there;
  throw new CroftError('not-found', `submodule ${quoteName(path.toString('latin1'))}: ${named.shown} is not there`, {
    hint: 'Put it there, run "git submodule update --init" in the source, or build without submodules.',
  });
}

/** The git directory of a local source, which its worktrees share. */
export async function commonDirOf({ git, url }: Place, waits: Waits): Promise<string> {
  const args = ['-C', url.text, 'rev-parse', '--path-format=absolute', '--git-common-dir'];
  return (await git.run({ args, ...waits })).toString('utf8').replace(/\n$/, '');
}

async function originOf({ git, url }: Place, waits: Waits): Promise<RepositoryUrl | undefined> {
  const { code, stdout } = await git.call({ args: ['-C', url.text, 'config', '--get', 'remote.origin.url'], ...waits });
  return code === 0 ? parseRepositoryUrl(stdout.toString('utf8').replace(/\n$/, '')) : undefined;
}
