/** Go's endpoints that read files: `/ls` and `/tgz`. buildlet.md 1.5 and 1.6. */
import { mkdir } from 'node:fs/promises';
import { withContents } from '@croft/domain/pattern';
import { anySignal } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { osText } from '@croft/streams/os-text';
import { release } from '@croft/streams/release';
import { packTarGz } from '@croft/streams/tar-pack';
import { messages } from '../events.ts';
import { textError, type Answer } from '../http/answer.ts';
import { queryNumber, requestEpoch, requestSource } from '../http/body.ts';
import type { Call } from '../http/router.ts';
import { listing } from './list.ts';
import { treeListing } from './list-tree.ts';
import { entryBelow } from './paths.ts';
import { treeEntries } from './read-tree.ts';
import type { FileDeps } from './routes.ts';

const text = 'text/plain; charset=utf-8';
const treeType = 'application/octet-stream';
/** What Go's `strconv.ParseBool` takes for true. */
const trueTexts = ['1', 't', 'T', 'TRUE', 'true', 'True'];

/** With `digest=sha256`, which is no boolean of Go's, it is a tree in our own form. */
export async function listFiles(call: Call, deps: FileDeps): Promise<Answer> {
  const { method, query } = call;
  if (method !== 'GET') return textError(400, 'requires GET method');
  if (query.get('digest') === 'sha256') {
    const known = { skip: query.getAll('skip'), memory: deps.digests, clock: deps.clock };
    return readBelow(call, deps, { type: treeType, read: (base, signal) => treeListing(base, { ...known, signal }) });
  }
  const is = (name: string): boolean => trueTexts.includes(query.get(name) ?? '');
  const options = { recursive: is('recursive'), digest: is('digest'), skip: query.getAll('skip') };
  return readBelow(call, deps, { type: text, read: (base, signal) => listing(base, { ...options, signal }) });
}

/** Beside Go's `dir`: `match`, once for each pattern over paths below it, and `level` of gzip. */
export async function readTarGz(call: Call, deps: FileDeps): Promise<Answer> {
  const { method, query } = call;
  if (method !== 'GET') return textError(400, 'requires GET method');
  const match = withContents(query.getAll('match'));
  const level = query.has('level') ? Math.min(9, queryNumber(query, 'level')) : 'usual';
  return readBelow(call, deps, {
    type: 'application/x-gzip',
    async *read(base, signal) {
      let leftOut = 0;
      yield* packTarGz(treeEntries(base, { match, onGone: () => void (leftOut += 1), signal }), { level });
      if (leftOut > 0) deps.log.warn(messages.packedInPart, { dir: query.get('dir') ?? '', leftOut });
    },
  });
}

interface Reading {
  readonly type: string;
  read(base: string, signal: AbortSignal): AsyncIterable<Buffer>;
}

/** Under a lease's epoch it is cut when a newer lease comes. The head is sent when there is something to send: until then a failure is an answer. */
async function readBelow({ request, query, signal: gone }: Call, deps: FileDeps, { type, read }: Reading): Promise<Answer> {
  const { workDir, fence, source } = deps;
  const name = requestSource(request);
  await mkdir(workDir, { recursive: true });
  const dir = query.get('dir') ?? '';
  const base = await entryBelow(workDir, 'dir', dir || '.');
  const admission = await fence.enter(requestEpoch(request));
  if (name !== undefined && source.name !== name) {
    admission[Symbol.dispose]();
    throw new CroftError('conflict', `read files: the source ${name} does not lie in the work directory any more`);
  }
  admission.signal.addEventListener('abort', () => admission[Symbol.dispose]()); // reading changes nothing that a newer lease would wait for
  const pieces = (async function* admitted(): AsyncGenerator<Buffer, void> {
    using _ = admission;
    for await (const piece of read(base, anySignal(gone, admission.signal))) {
      yield piece;
      release(piece); // it has been written
    }
  })();
  const first = await pieces.next().catch((error: unknown) => {
    throw walkError(error);
  });
  return { kind: 'stream', type, pieces: () => withFirst(first, pieces) };
}

function walkError(error: unknown): unknown {
  if (error instanceof CroftError && error.code !== 'invalid') return error;
  const code = systemCode(error) === 'ENOENT' ? 'not-found' : 'internal';
  return new CroftError(code, `Walk error: ${osText(error)}`);
}

async function* withFirst(first: IteratorResult<Buffer, void>, rest: AsyncGenerator<Buffer, void>): AsyncGenerator<Buffer, void> {
  try {
    if (first.done) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}
