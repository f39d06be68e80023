/** The files of a session's machine, for pages: one directory, one file, a directory as an archive, and files that come. In constant memory. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createGoClient, type DirEntry } from '@croft/buildlet/go-client';
import { isNotThere } from '@croft/buildlet/not-there';
import { passOn } from '@croft/buildlet/pass-on';
import { epochHeader } from '@croft/protocol/runs';
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { readTarGz } from '@croft/streams/tar-read';
import type { Entered } from './sessions.ts';

export interface Directory {
  /** Directories first, each by name. */
  readonly entries: readonly DirEntry[];
  /** There are more than are told. */
  readonly isCut: boolean;
}

export interface OpenFile {
  readonly bytes: number;
  readonly content: AsyncIterable<Buffer>;
}

/** More would be no list to read; the archive has them all. */
const maxEntries = 2_000;
const writeMs = 10 * MINUTE;
const plainMode = 0o644;
/** The type flag of a file in an archive. */
const regular = '0';

/** @throws CroftError `not-found`, `invalid` for a path that leaves the work directory */
export async function listFiles(entered: Entered, dir: string, { clock, signal }: Waits & { clock: Clock }): Promise<Directory> {
  const entries: DirEntry[] = [];
  await using client = createGoClient(entered.buildlet.address, { clock });
  try {
    for await (const entry of client.listDir(dir, { recursive: false }, { signal })) {
      if (entries.length === maxEntries) return { entries: sorted(entries), isCut: true };
      entries.push(entry);
    }
  } catch (error) {
    throw unlessThere(error, dir);
  }
  return { entries: sorted(entries), isCut: false };
}

/** In words for whoever looks at a page. */
function unlessThere(error: unknown, path: string): unknown {
  if (!isNotThere(error)) return error;
  return new CroftError('not-found', `there is no ${JSON.stringify(path)} on the machine any more`, { cause: error });
}

function sorted(entries: readonly DirEntry[]): DirEntry[] {
  return entries.toSorted((a, b) => Number(b.isDir) - Number(a.isDir) || (a.name < b.name ? -1 : 1));
}

/** Whoever gets it reads it or ends it. @throws CroftError `not-found`, `invalid` for what is no file */
export async function openFile({ buildlet, epoch }: Entered, path: string, waits: Waits): Promise<OpenFile> {
  const archive = buildlet.getTarGz(path, [], epoch, { ...waits, gzipLevel: buildlet.gzipLevel });
  const entries = readTarGz(archive, { ...waits, maxBytes: Infinity, maxEntries: 1 });
  const first = await entries.next().catch((error: unknown) => {
    throw unlessThere(error, path);
  });
  if (first.done) throw new CroftError('not-found', 'there is no such file on the machine');
  const { header, content } = first.value;
  if (header.type !== regular) {
    await entries.return();
    throw new CroftError('invalid', 'this is no regular file', { hint: 'Fetch the directory that it is in, as an archive.' });
  }
  async function* whole(): AsyncGenerator<Buffer> {
    try {
      yield* content;
    } finally {
      await entries.return();
    }
  }
  return { bytes: header.size, content: whole() };
}

/** As a tar.gz that has begun. Each piece is good only until the next one is asked for. @throws CroftError `not-found` */
export async function openArchive({ buildlet, epoch }: Entered, dir: string, waits: Waits): Promise<AsyncGenerator<Buffer>> {
  const archive = buildlet.getTarGz(dir, [], epoch, { ...waits, gzipLevel: 1 });
  const first = await archive.next().catch((error: unknown) => {
    throw unlessThere(error, dir);
  });
  async function* whole(): AsyncGenerator<Buffer> {
    try {
      if (!first.done) yield first.value;
      yield* archive;
    } finally {
      await archive.return(undefined);
    }
  }
  return whole();
}

/** @throws CroftError `invalid` with what the machine says */
export async function writeFile(
  entered: Entered,
  path: string,
  content: AsyncIterable<Uint8Array>,
  waits: Waits & { clock: Clock },
): Promise<void> {
  const { clock } = waits;
  const signal = anySignal(waits.signal, entered.ended);
  const query = new URLSearchParams({ path, mode: String(plainMode) }).toString();
  const request = { method: 'PUT', path: `/write?${query}`, headers: { [epochHeader]: String(entered.epoch) }, body: content };
  const answer = await passOn(entered.buildlet.address, request, { clock, signal, headMs: writeMs });
  const said = await readShort(answer);
  if (answer.statusCode !== 200) throw new CroftError('invalid', `the machine did not take ${JSON.stringify(path)}: ${said}`);
}

async function readShort(answer: IncomingMessage): Promise<string> {
  const first = (await once(answer, 'readable').then(() => answer.read() as Buffer | null)) ?? Buffer.alloc(0);
  answer.destroy();
  return first.subarray(0, 500).toString().trim();
}
