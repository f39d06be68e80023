/** Go's endpoints for files: `/ls`, `/tgz`, `/write`, `/writetgz` and `/removeall`. buildlet.md 1.5 to 1.9. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { posixModeOf } from '@croft/streams/go-mode';
import { osText } from '@croft/streams/os-text';
import { unpackTarGz } from '@croft/streams/tar-unpack';
import { text, textError, type Answer } from '../http/answer.ts';
import { messages } from '../events.ts';
import { formValues, requestEpoch, requestSource } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Fence } from '../state/fence.ts';
import type { SourceNote } from '../state/source.ts';
import { makeTree } from '../state/spread.ts';
import { fetchBody } from './fetch-body.ts';
import { checkParameter, directoryBelow } from './paths.ts';
import { listFiles, readTarGz } from './read-routes.ts';
import { removeAll } from './remove-all.ts';
import { createDigestMemory, type DigestMemory } from './digest-memory.ts';
import type { Room } from './room.ts';
import type { Trash } from './trash.ts';
import { writeFile } from './write-file.ts';

/**
 * What one archive may become, where the disk has room for it. Deflate makes files of zeros a thousand times smaller: small ones are
 * honest, large ones keep a machine busy for next to nothing.
 */
const limits = { bytes: 64 * 1024 ** 3, entries: 5_000_000, ratio: { most: 500, fromBytes: 4 * 1024 ** 3 } };

/** For tens of thousands of paths, of which each slash takes three bytes. */
const maxPathsBytes = 32 * 1024 * 1024;

export interface FileDeps {
  readonly workDir: string;
  readonly fence: Fence;
  readonly trash: Trash;
  readonly source: SourceNote;
  readonly room: Room;
  readonly digests: DigestMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function fileRoutes(given: Omit<FileDeps, 'digests'>): Record<string, Route> {
  const deps: FileDeps = { ...given, digests: createDigestMemory() };
  return {
    '/ls': { style: 'text', handle: (call) => listFiles(call, deps) },
    '/tgz': { style: 'text', handle: (call) => readTarGz(call, deps) },
    '/write': { style: 'text', handle: (call) => putFile(call, deps) },
    '/writetgz': { style: 'text', handle: (call) => writeTarGz(call, deps) },
    '/removeall': { style: 'text', handle: (call) => removePaths(call, deps) },
  };
}

async function removePaths({ request, method, query, signal }: Call, { workDir, fence, trash, source }: FileDeps): Promise<Answer> {
  if (method !== 'POST') return textError(400, 'requires POST method');
  const paths = await formValues({ request, query }, 'path', maxPathsBytes);
  if (paths.length === 0) return textError(400, "requires 'path' parameter");
  using admission = await fence.enter(requestEpoch(request));
  source.forget();
  await mkdir(workDir, { recursive: true });
  await removeAll(paths, { workDir, trash, signal: anySignal(signal, admission.signal) }).catch((error: unknown) => toldByTheSystem(error));
  return text('');
}

async function putFile({ request, method, query, signal: gone }: Call, deps: FileDeps): Promise<Answer> {
  const { workDir, fence, source, room } = deps;
  if (method !== 'PUT') return textError(400, 'requires POST method'); // so Go says it
  const path = query.get('path') ?? '';
  checkParameter('path', path);
  const mode = posixModeOf(query.get('mode') ?? '');
  if (mode === undefined) return textError(400, 'bad mode');
  using admission = await fence.enter(requestEpoch(request));
  const signal = anySignal(gone, admission.signal);
  source.forget();
  await mkdir(workDir, { recursive: true });
  const body = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  using share = await room.open('write a file');
  await writeFile(path, body, { workDir, mode, share, signal }).catch((error: unknown) => toldByTheSystem(error, join(workDir, path)));
  return text('OK');
}

async function writeTarGz({ request, method, query, signal: gone }: Call, deps: FileDeps): Promise<Answer> {
  const { workDir, fence, clock, source, log, room } = deps;
  if (method !== 'PUT' && method !== 'POST') return textError(400, 'requires PUT or POST method');
  const epoch = requestEpoch(request);
  using admission = await fence.enter(epoch);
  const signal = anySignal(gone, admission.signal);
  const dir = query.get('dir') ?? '';
  if (method === 'POST' && dir === 'go1.4' && (await isDirectory(join(workDir, dir)))) return text('SKIP');
  const [url] = method === 'POST' ? await formValues({ request, query: new URLSearchParams() }, 'url') : [];
  if (method === 'POST' && !url) return textError(400, 'missing url POST param');
  const name = requestSource(request);
  source.forget();
  const root = await madeDirectory(dir, deps);
  using share = await room.open('unpack an archive');
  const body = url ? await fetchBody(url, { signal, clock }) : request;
  try {
    // Go's programs send what Go's buildlet takes: it passes over links
    const options = { signal, limits, room: share.take, leavesOutLinks: epoch === undefined, rootIsReal: true, now: clock.now() };
    const { untimed, leftOut } = await unpackTarGz(body, root, options).catch((error: unknown) => toldByTheSystem(error));
    if (untimed + leftOut > 0) log.warn(messages.unpackedInPart, { dir, untimed, leftOut });
  } finally {
    if (url) body.destroy();
  }
  if (name !== undefined) source.note(name);
  return text('OK');
}

async function madeDirectory(dir: string, { workDir, random }: FileDeps): Promise<string> {
  await mkdir(workDir, { recursive: true });
  const root = await directoryBelow(workDir, 'dir', dir || '.');
  try {
    if (dirname(root) === workDir) await makeTree(root, random);
    await mkdir(root, { recursive: true, mode: 0o755 });
  } catch (error) {
    const told = systemCode(error) === 'EEXIST' ? `mkdir ${root}: not a directory` : osText(error); // it is there, but no directory
    throw new CroftError('internal', `mkdir of base: ${told}`);
  }
  return root;
}

/** In the words that tools know from Go: what lies under an internal failure is what the system said. */
function toldByTheSystem(error: unknown, path?: string): never {
  if (error instanceof CroftError && (error.code !== 'internal' || systemCode(error) === undefined)) throw error;
  throw new CroftError('internal', osText(error instanceof CroftError ? error.cause : error, path));
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
