/** Go's endpoints for files: `/tgz`, `/writetgz` and `/removeall`. buildlet.md 1.6, 1.7 and 1.9. */
import { lstat, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withContents } from '@croft/domain/pattern';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { packTarGz } from '@croft/streams/tar-pack';
import { unpackTarGz } from '@croft/streams/tar-unpack';
import { text, textError, type Answer } from '../http/answer.ts';
import { formValues, queryNumber, requestEpoch, requestSource } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Disk } from '../state/disk.ts';
import type { Fence } from '../state/fence.ts';
import type { SourceNote } from '../state/source.ts';
import { makeTree } from '../state/spread.ts';
import { fetchBody } from './fetch-body.ts';
import { insideOf } from './paths.ts';
import { treeEntries } from './read-tree.ts';
import { removeAll } from './remove-all.ts';
import type { Trash } from './trash.ts';

/** What one archive may become, where the disk has room for it. */
const maxArchive = { bytes: 64 * 1024 ** 3, entries: 5_000_000 };

export interface FileDeps {
  readonly workDir: string;
  readonly fence: Fence;
  readonly trash: Trash;
  readonly source: SourceNote;
  readonly disk: Disk;
  readonly lowWaterBytes: number;
  readonly clock: Clock;
  readonly random: Random;
}

export function fileRoutes(deps: FileDeps): Record<string, Route> {
  return {
    '/tgz': { style: 'text', handle: (call) => readTarGz(call, deps) },
    '/writetgz': { style: 'text', handle: (call) => writeTarGz(call, deps) },
    '/removeall': { style: 'text', handle: (call) => removePaths(call, deps) },
  };
}

/**
 * Beside Go's `dir`: `match`, once for each pattern over paths below it, and `level` of gzip. Under a lease's epoch it is cut when a newer
 * lease comes.
 */
async function readTarGz({ request, method, query, signal: gone }: Call, { workDir, fence, source }: FileDeps): Promise<Answer> {
  if (method !== 'GET') return textError(400, 'requires GET method');
  const name = requestSource(request);
  const match = withContents(query.getAll('match'));
  const level = Math.min(9, queryNumber(query, 'level', 1));
  const root = await directoryOf(query.get('dir') ?? '', workDir);
  const admission = await fence.enter(requestEpoch(request));
  if (name !== undefined && source.name !== name) {
    admission[Symbol.dispose]();
    throw new CroftError('conflict', `read files: the source ${name} does not lie in the work directory any more`);
  }
  admission.signal.addEventListener('abort', () => admission[Symbol.dispose]()); // reading changes nothing that a newer lease would wait for
  const entries = treeEntries(root, { match, signal: anySignal(gone, admission.signal) });
  return {
    kind: 'stream',
    type: 'application/x-gzip',
    async *pieces() {
      using _ = admission;
      yield* packTarGz(entries, { level });
    },
  };
}

async function directoryOf(dir: string, workDir: string): Promise<string> {
  const root = await belowWork(dir, workDir);
  if (await isDirectory(root)) return root;
  throw new CroftError('not-found', `read files: there is no directory ${JSON.stringify(dir)}`);
}

async function removePaths({ request, method, query, signal }: Call, { workDir, fence, trash, source }: FileDeps): Promise<Answer> {
  if (method !== 'POST') return textError(400, 'requires POST method');
  const paths = await formValues(request, query, 'path');
  if (paths.length === 0) return textError(400, "requires 'path' parameter");
  using admission = await fence.enter(requestEpoch(request));
  source.forget();
  await removeAll(paths, { workDir, trash, signal: anySignal(signal, admission.signal) });
  return text('');
}

async function writeTarGz({ request, method, query, signal: gone }: Call, deps: FileDeps): Promise<Answer> {
  const { workDir, fence, clock } = deps;
  if (method !== 'PUT' && method !== 'POST') return textError(400, 'requires PUT or POST method');
  using admission = await fence.enter(requestEpoch(request));
  const signal = anySignal(gone, admission.signal);
  const dir = query.get('dir') ?? '';
  if (method === 'POST' && dir === 'go1.4' && (await isDirectory(join(workDir, dir)))) return text('SKIP');
  const [url] = method === 'POST' ? await formValues(request, new URLSearchParams(), 'url') : [];
  if (method === 'POST' && !url) return textError(400, 'missing url POST param');
  const name = requestSource(request);
  deps.source.forget();
  const root = await madeDirectory(dir, deps);
  const limits = await archiveLimits(deps);
  const body = url ? await fetchBody(url, { signal }) : request;
  try {
    await unpackTarGz(body, root, { signal, limits, now: clock.now() });
  } finally {
    if (url) body.destroy();
  }
  if (name !== undefined) deps.source.note(name);
  return text('OK');
}

/** A bomb ends at the low-water mark and not with a full disk. */
async function archiveLimits({ disk, lowWaterBytes }: FileDeps): Promise<typeof maxArchive> {
  const { freeBytes, low } = await disk.check();
  if (!low) return { ...maxArchive, bytes: Math.min(maxArchive.bytes, freeBytes - lowWaterBytes) };
  throw new CroftError('exhausted', 'unpack an archive: the disk is below its low-water mark', { hint: 'Free disk space on the worker.' });
}

async function madeDirectory(dir: string, { workDir, random }: FileDeps): Promise<string> {
  await mkdir(workDir, { recursive: true });
  const root = await belowWork(dir, workDir);
  try {
    if (dirname(root) === workDir) await makeTree(root, random);
    await mkdir(root, { recursive: true });
  } catch (error) {
    throw new CroftError('internal', `mkdir of base: ${errorText(error)}`, { cause: error });
  }
  return root;
}

async function belowWork(dir: string, workDir: string): Promise<string> {
  return insideOf(workDir, dir || '.').catch((error: unknown) => {
    throw error instanceof CroftError ? new CroftError('invalid', `invalid 'dir' parameter: ${errorText(error)}`, { cause: error }) : error;
  });
}

async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
