/** The files of one artifact from its machine, which is not trusted: what comes is chosen, named, counted and measured here again. */
import { isUtf8 } from 'node:buffer';
import { sourceDir } from '@croft/buildlet/step-spec';
import type { Artifact, Job } from '@croft/domain/job';
import { selects, withContents } from '@croft/domain/pattern';
import { CroftError } from '@croft/runtime/errors';
import type { ArtifactFile } from '@croft/store/artifacts';
import { readTarGz, type ReadEntry } from '@croft/streams/tar-read';
import { sourceName } from '../builds/source-name.ts';
import type { FarmDeps, Work } from '../builds/work.ts';

export interface Fetching {
  readonly work: Work;
  readonly job: Job;
  readonly farm: Pick<FarmDeps, 'connect' | 'blobs'>;
  readonly signal: AbortSignal;
}

const maxFiles = 10_000;
/** Entries that are no files of ours, and heads. */
const slack = { entries: 100_000, bytes: 256 * 1024 * 1024 };
const maxPathBytes = 1_000;
/** Each stored file is waited for until it is durable: small ones together, this many at a time. */
const smallBytes = 64 * 1024;
const atOnce = 16;

/**
 * Links, and names that are no text, are left out.
 * @throws CroftError `too-large` for more than the artifact may hold, `invalid` for a bad archive, and what client and blob store throw
 */
export async function fetchFiles(
  { paths, maxBytes }: Pick<Artifact, 'paths' | 'maxBytes'>,
  { work, job, farm, signal }: Fetching,
): Promise<{ files: ArtifactFile[]; bytes: number }> {
  const patterns = withContents(paths);
  const buildlet = farm.connect(work.lease.machine);
  const { gzipLevel } = buildlet;
  const archive = buildlet.getTarGz(sourceDir(job), paths, work.lease.epoch, { source: sourceName(work), gzipLevel, signal });
  const files = new Map<string, ArtifactFile>();
  const storing = createStoring(farm.blobs, signal);
  let bytes = 0;
  try {
    for await (const entry of readTarGz(archive, { maxBytes: maxBytes + slack.bytes, maxEntries: maxFiles + slack.entries, signal })) {
      const path = pathOf(entry);
      if (path === undefined || !selects(patterns, path) || files.has(path)) continue;
      bytes += entry.header.size;
      if (bytes > maxBytes) throw new CroftError('too-large', `it is larger than ${maxBytes} bytes`);
      if (files.size === maxFiles) throw new CroftError('too-large', `it has more than ${maxFiles} files`);
      const mode = entry.header.mode & 0o777;
      const stored = (sha256: string): void => void files.set(path, { path, sha256, bytes: entry.header.size, mode });
      stored(''); // its place
      await storing.add(entry, stored);
    }
  } finally {
    await storing.settled();
  }
  storing.check();
  return { files: [...files.values()], bytes };
}

/** Undefined for what is no file with a name that can be an address. */
function pathOf({ header: { type, name } }: ReadEntry): string | undefined {
  const bytes = Buffer.from(name, 'latin1');
  if (!['0', '7', '\0'].includes(type) || bytes.length > maxPathBytes || !isUtf8(bytes)) return undefined;
  const path = bytes.toString();
  return /^(?!.*(?:^|\/)\.{0,2}(?:\/|$))[^\0]+$/s.test(path) ? path : undefined;
}

interface Storing {
  /** Resolves when the next entry may be read. */
  add(entry: ReadEntry, stored: (sha256: string) => void): Promise<void>;
  /** Resolves when nothing is under way. */
  settled(): Promise<void>;
  /** @throws what failed */
  check(): void;
}

function createStoring(blobs: FarmDeps['blobs'], signal: AbortSignal): Storing {
  const underWay = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  const check = (): void => {
    if (failed) throw failed.error;
  };
  const put = async (content: AsyncIterable<Uint8Array>, size: number, stored: (sha256: string) => void): Promise<void> =>
    stored((await blobs.put(content, { maxBytes: size, signal })).sha256);
  return {
    async add({ header: { size }, content }, stored) {
      check();
      if (size > smallBytes) return put(content, size, stored);
      const pieces = await Array.fromAsync(content, (piece) => Buffer.from(piece));
      const done = put(given(pieces), size, stored).then(
        () => void underWay.delete(done),
        (error: unknown) => {
          failed ??= { error };
          underWay.delete(done);
        },
      );
      underWay.add(done);
      if (underWay.size >= atOnce) await Promise.race(underWay);
    },
    async settled() {
      await Promise.all(underWay);
    },
    check,
  };
}

async function* given(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}
