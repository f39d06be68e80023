/** What a push has to do: which entries go there, and what is removed first. Decides; nothing is changed here. */
import { isUtf8 } from 'node:buffer';
import type { TreeEntry } from '@croft/buildlet/client';
import { leadOf } from '@croft/streams/tar-names';
import type { LocalEntry } from './local-tree.ts';

export interface PushPlan {
  readonly send: readonly LocalEntry[];
  /** Of those that are sent, which the machine did not have. */
  readonly missing: readonly string[];
  /** Each with all below it; none is below another. */
  readonly remove: readonly string[];
  /** Of those that are removed, what only makes way for what is sent. */
  readonly replaced: ReadonlySet<string>;
  /** What cannot be sent or removed, with the reason. */
  readonly leftOut: readonly { readonly path: string; readonly why: string }[];
  /** Whether something lies on either side. */
  has(path: string): boolean;
}

export interface PlanNeeds {
  digestOf(entry: LocalFile): string | Promise<string>;
  /** Of what lies on the machine alone. */
  keeps(path: string, isDirectory: boolean): Promise<boolean>;
  /** What nobody sent is not removed from its top. */
  readonly isWorkDir: boolean;
}

export async function planPush(local: AsyncIterable<readonly LocalEntry[]>, there: RemoteTree, needs: PlanNeeds): Promise<PushPlan> {
  const planning = createPlanning(there, needs);
  for await (const batch of local) {
    for (const entry of batch) {
      const reading = planning.take(entry);
      if (reading) await reading; // turns of the event loop, one for each file, would cost more than all else
    }
  }
  return planning.finish();
}

type LocalFile = LocalEntry & { readonly kind: 'file' };

interface Planning {
  /** A promise where a large file has to be read. */
  take(entry: LocalEntry): Promise<void> | undefined;
  finish(): Promise<PushPlan>;
}

function createPlanning({ entries: there, otherForm }: RemoteTree, needs: PlanNeeds): Planning {
  const send: LocalEntry[] = [];
  const missing: string[] = [];
  const leftOut: { path: string; why: string }[] = [];
  const seen = new Set<string>();
  const directories = new Set(['']);
  const replaced = new Set<string>();
  const unsettled: (LocalEntry & { kind: 'link' })[] = [];
  const decide = (entry: LocalEntry): Promise<void> | undefined => {
    const found = there.get(otherForm(entry.path));
    if (!found) return lacking(entry);
    if (!isDigestNeeded(entry, found)) return settle(entry, found, undefined);
    const digest = needs.digestOf(entry);
    return typeof digest === 'string' ? settle(entry, found, digest) : digest.then((read) => settle(entry, found, read));
  };
  const lacking = (entry: LocalEntry): undefined => {
    if (isImplied(entry)) return;
    missing.push(entry.path);
    send.push(entry);
  };
  const settle = (entry: LocalEntry, found: TreeEntry, digest: string | undefined): undefined => {
    const verdict = compare(entry, found, digest);
    if (verdict === 'replaced') replaced.add(otherForm(entry.path));
    if (verdict !== 'same' && !isImplied(entry)) send.push(entry);
  };
  const leave = ({ path }: LocalEntry): void => void leftOut.push({ path, why: 'is a link that leads out of the tree, and is not sent' });
  return {
    take(entry) {
      const { path } = entry;
      seen.add(otherForm(path));
      if (entry.kind === 'directory') directories.add(path);
      const lead = entry.kind === 'link' ? leadOf(path, entry.target) : 'inside';
      if (lead === 'inside') return decide(entry);
      if (lead === 'outside') leave(entry);
      else unsettled.push(entry as LocalEntry & { kind: 'link' });
      return undefined;
    },
    async finish() {
      for (const entry of unsettled) {
        if (leadOf(entry.path, entry.target, (dir) => directories.has(dir)) === 'outside') leave(entry);
        else await decide(entry);
      }
      const removed = await surplus(there, { ...needs, seen, replaced });
      const unnamed = removed.filter((path) => !isUtf8(Buffer.from(path, 'latin1')));
      for (const path of unnamed) leftOut.push({ path, why: 'has a name that is not UTF-8, and stays on the machine as it is' });
      const remove = removed.filter((path) => !unnamed.includes(path));
      return { send, missing, replaced, leftOut, remove, has: (path) => seen.has(path) || there.has(path) };
    },
  };
}

export interface RemoteTree {
  /** In the order of the list, each directory before its contents. */
  readonly entries: ReadonlyMap<string, TreeEntry>;
  /** What the machine calls it: the same characters, composed otherwise, where it does not have the very bytes. */
  otherForm(path: string): string;
}

export async function readRemote(remote: AsyncIterable<readonly TreeEntry[]>): Promise<RemoteTree> {
  const entries = new Map<string, TreeEntry>();
  for await (const batch of remote) for (const entry of batch) entries.set(entry.path, entry);
  let forms: Map<string, string> | undefined;
  return {
    entries,
    otherForm(path) {
      if (entries.has(path) || !/[\x80-\xff]/.test(path)) return path;
      forms ??= new Map([...entries.keys()].filter((name) => /[\x80-\xff]/.test(name)).map((name) => [composed(name), name]));
      return forms.get(composed(path)) ?? path;
    },
  };
}

function composed(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8').normalize('NFC');
}

/** What the owner may do: the other bits are cut by the machine's umask. */
const ownerBits = 0o700;
const ownerWrites = 0o200;

/** A directory that comes with what is in it. */
function isImplied(entry: LocalEntry): boolean {
  return entry.kind === 'directory' && !entry.isEmpty;
}

function isDigestNeeded(entry: LocalEntry, found: TreeEntry): entry is LocalFile {
  return entry.kind === 'file' && found.kind === 'file' && hasSameMode(entry, found) && entry.sizeBytes === found.sizeBytes;
}

function hasSameMode(entry: LocalFile, found: TreeEntry & { readonly kind: 'file' }): boolean {
  return (entry.mode & ownerBits) === (found.mode & ownerBits);
}

/** @param digest of a file, where it counts */
function compare(entry: LocalEntry, found: TreeEntry, digest: string | undefined): 'same' | 'changed' | 'replaced' {
  if (entry.kind !== found.kind) return 'replaced';
  if (entry.kind === 'link' && found.kind === 'link') return found.target === entry.target ? 'same' : 'changed';
  if (entry.kind !== 'file' || found.kind !== 'file') return 'same';
  if (!hasSameMode(entry, found)) return 'replaced'; // a file that is there keeps its mode
  if (digest !== undefined && found.digest === digest) return 'same';
  return (found.mode & ownerWrites) === 0 ? 'replaced' : 'changed';
}

interface Surplus extends PlanNeeds {
  readonly seen: ReadonlySet<string>;
  readonly replaced: ReadonlySet<string>;
}

/** What lies there and not here, less what is kept; a directory that holds something kept stays. */
async function surplus(there: ReadonlyMap<string, TreeEntry>, { seen, replaced, keeps, isWorkDir }: Surplus): Promise<string[]> {
  const kept = new Set<string>();
  const holding = new Set<string>();
  const going: string[] = [];
  const hold = (path: string): void => {
    for (let at = path; at !== '' && !holding.has(at); at = parentOf(at)) holding.add(at);
  };
  for (const [path, { kind }] of there) {
    const parent = parentOf(path);
    if (replaced.has(path) || within(parent, replaced)) going.push(path);
    else if (seen.has(path)) hold(parent);
    else if (kept.has(parent)) kept.add(path);
    else if ((isWorkDir && parent === '') || (await keeps(path, kind === 'directory'))) {
      kept.add(path);
      hold(parent);
    } else going.push(path);
  }
  const removed = new Set(going.filter((path) => !holding.has(path)));
  return [...removed].filter((path) => !within(parentOf(path), removed));
}

function within(path: string, set: ReadonlySet<string>): boolean {
  for (let at = path; at !== ''; at = parentOf(at)) if (set.has(at)) return true;
  return false;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
