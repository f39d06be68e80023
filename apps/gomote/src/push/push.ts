/**
 * Makes a directory of a machine like one here: one list with digests, one removal, one upload, whatever the tree's size. What is ignored takes
 * no part on either side. @see docs/using/gomote.md#push
 */
import { hash } from 'node:crypto';
import { createReadStream, lstatSync, readFileSync } from 'node:fs';
import type { Cli } from '@croft/cli/program';
import type { Waits } from '@croft/runtime/clock';
import { printable } from '@croft/cli/terminal';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { formatBytes } from '@croft/web/html/format';
import { countedBytes } from '../transfer.ts';
import { anyEpoch, type Machine } from '../world.ts';
import { openDigests, type Digests } from './digests.ts';
import { isApart, openLocalTree, placeOf, type LocalEntry } from './local-tree.ts';
import { planPush, readRemote, type PushPlan } from './plan.ts';
import type { PushSource } from './source.ts';

export interface PushOptions extends Waits {
  readonly ignore: readonly string[];
  readonly dryRun: boolean;
}

export interface Pushed {
  readonly dest: string;
  readonly sent: number;
  readonly removed: number;
  /** On the wire. */
  readonly bytes: number;
}

/** What the machine makes in Go's tree and nobody wants to see listed (PUSH-2). */
const goSkip = ['pkg', 'bin'];

export async function pushTree(machine: Machine, source: PushSource, { ignore, dryRun, signal }: PushOptions, cli: Cli): Promise<Pushed> {
  const { root, dest, isGo } = source;
  const rules = { ignore, isGo };
  // Git, the machine and what is remembered are asked at once: they take as long as the rest of a push that finds little.
  const listed = readRemote(machine.buildlet.listTree(dest, isGo ? { skip: goSkip } : {}, { signal }));
  listed.catch(() => undefined); // told where it is awaited
  await using tree = await openLocalTree(root, rules, cli.env);
  const digests = await openDigests(root, cli);
  const plan = await planPush(tree.entries(), await listed, {
    digestOf: digests.of,
    keeps: async (path, isDirectory) => (isGo && path === 'VERSION') || isApart(path, rules) || tree.keeps(path, isDirectory),
    isWorkDir: dest === '.',
  });
  await tell(plan, { dryRun, alias: machine.session.alias, dest }, cli);
  let bytes = 0;
  if (!dryRun) {
    await remove(machine, { dest, paths: plan.remove }, { signal });
    if (plan.send.length > 0) bytes = await upload(machine, { source, plan, digests, signal }, cli);
    if (isGo && !plan.has('VERSION')) await writeVersion(machine, dest, cli);
  }
  await digests.save();
  return { dest, sent: plan.send.length, removed: plan.remove.length - plan.replaced.size, bytes };
}

/** Go's tree does not build without one (PUSH-7). */
async function writeVersion({ files }: Machine, dest: string, { random }: Cli): Promise<void> {
  await files.put(below(dest, 'VERSION'), { mode: 0o644, content: `devel gomote.${random.hex(3)}` }, {});
}

/** What one request may name. */
const removeChars = 1024 ** 2;

async function remove({ buildlet }: Machine, { dest, paths }: { dest: string; paths: readonly string[] }, waits: Waits): Promise<void> {
  let batch: string[] = [];
  let chars = 0;
  for (const path of paths) {
    const named = below(dest, Buffer.from(path, 'latin1').toString('utf8'));
    batch.push(named);
    chars += named.length;
    if (chars < removeChars) continue;
    await buildlet.removeAll(batch, anyEpoch, waits);
    [batch, chars] = [[], 0];
  }
  if (batch.length > 0) await buildlet.removeAll(batch, anyEpoch, waits);
}

function below(dest: string, path: string): string {
  return dest === '.' ? path : `${dest}/${path}`;
}

interface Upload extends Waits {
  readonly source: PushSource;
  readonly plan: PushPlan;
  readonly digests: Digests;
}

async function upload({ buildlet, session }: Machine, { source, plan, digests, signal }: Upload, cli: Cli): Promise<number> {
  const total = plan.send.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.sizeBytes : 0), 0);
  await using counted = countedBytes(cli, { what: `${session.alias}:${source.dest}`, total });
  const packed = packTarGz(archiveOf(source.root, { ...plan, digests, onContent: counted.add }), { level: buildlet.gzipLevel });
  let bytes = 0;
  const measured = async function* (): AsyncGenerator<Buffer> {
    for await (const piece of packed) {
      bytes += piece.length;
      yield piece;
    }
  };
  await buildlet.putTarGz(source.dest, measured(), anyEpoch, { signal });
  return bytes;
}

interface Packing extends Pick<PushPlan, 'send'> {
  readonly digests: Digests;
  onContent(bytes: number): void;
}

const wholeBytes = 4 * 1024 ** 2;

async function* archiveOf(root: string, { send, digests, onContent }: Packing): AsyncGenerator<TarEntry> {
  for (const entry of send) {
    const path = Buffer.from(entry.path, 'latin1');
    if (entry.kind === 'directory') yield { kind: 'directory', path };
    else if (entry.kind === 'link') yield { kind: 'link', path, target: Buffer.from(entry.target, 'latin1') };
    else yield fileEntry(entry, { path, place: placeOf(root, entry.path), digests });
    onContent(entry.kind === 'file' ? entry.sizeBytes : 0);
  }
}

interface Place {
  readonly path: Buffer;
  readonly place: string | Buffer;
  readonly digests: Digests;
}

/** As it is now: a file may have changed since it was looked at, and is seen again by the next push. */
function fileEntry(entry: LocalEntry & { kind: 'file' }, { path, place, digests }: Place): TarEntry {
  const { size, mtimeMs } = lstatSync(place);
  const file = { kind: 'file', path, mode: entry.mode, mtime: Math.floor(mtimeMs / 1_000) } as const;
  if (size > wholeBytes) return { ...file, size, content: createReadStream(place, { end: size - 1 }) };
  const content = readFileSync(place);
  digests.note(entry, hash('sha256', content));
  return { ...file, size: content.length, content };
}

const shownNames = 5;

/** PUSH-10. */
async function tell(plan: PushPlan, { dryRun, alias, dest }: { dryRun: boolean; alias: string; dest: string }, cli: Cli): Promise<void> {
  const { send, missing, remove: removed, replaced, leftOut } = plan;
  const say = (text: string): Promise<void> => cli.stderr.write(`# ${text}\n`);
  const gone = removed.filter((path) => !replaced.has(path));
  const isMissing = new Set(missing);
  const changed = send.filter(({ path }) => !isMissing.has(path)).map(({ path }) => path);
  for (const { path, why } of leftOut) await say(`${shown(path)} ${why}`);
  if (missing.length > 0) await say(`not there yet: ${some(missing)}`);
  if (changed.length > 0) await say(`changed: ${some(changed)}`);
  if (gone.length > 0) await say(`${dryRun ? 'would be deleted' : 'deleted'} there: ${some(gone)}`);
  const size = send.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.sizeBytes : 0), 0);
  if (send.length + gone.length === 0) return say(`${alias}:${dest} is up to date`);
  await say(`${dryRun ? 'would upload' : 'uploading'} ${send.length} new or changed files, ${formatBytes(size)}, to ${alias}:${dest}`);
}

function some(paths: readonly string[]): string {
  const rest = paths.length - shownNames;
  return `${paths.slice(0, shownNames).map(shown).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function shown(path: string): string {
  return printable(Buffer.from(path, 'latin1').toString('utf8'));
}
