/**
 * Symbolic links of an archive that is sent to one of Go's buildlets, which passes over them without a word: they are noted while it
 * is sent, and made afterwards by a command.
 */
import { once } from 'node:events';
import { posix } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { readTarGz } from '@croft/streams/tar-read';
import type { GoClient } from '../go-client.ts';

export interface Link {
  /** Below the directory of the archive. */
  readonly path: string;
  readonly target: string;
}

const limits = { maxBytes: 64 * 1024 ** 3, maxEntries: 5_000_000 };
const maxLinks = 200_000;
const copyBytes = 1024 * 1024;
/** What one command is told; the kernel takes 2 MiB on most systems, and 128 KiB on all. */
const batchBytes = 64 * 1024;
const makeLinks =
  'while [ $# -gt 1 ]; do case "$2" in */*) mkdir -p -- "${2%/*}" || exit;; esac; ln -sfn -- "$1" "$2" || exit; shift 2; done';

export interface WatchedArchive {
  /** To be read to its end, once. */
  readonly archive: AsyncIterable<Uint8Array>;
  /** Once that was done. @throws CroftError `invalid` for an archive that cannot be read, or a link that leaves it */
  links(): Promise<readonly Link[]>;
}

export function watchLinks(source: AsyncIterable<Uint8Array>): WatchedArchive {
  const copy = new PassThrough({ highWaterMark: copyBytes });
  const reading = readLinks(copy);
  reading.catch(() => undefined); // told to whoever asks for the links
  const pass = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of source) {
        if (!copy.destroyed && !copy.write(Buffer.from(piece))) await Promise.race([once(copy, 'drain'), reading]).catch(() => undefined);
        yield piece;
      }
    } finally {
      copy.end();
    }
  };
  return { archive: pass(), links: () => reading };
}

async function readLinks(copy: AsyncIterable<Uint8Array>): Promise<Link[]> {
  const links: Link[] = [];
  for await (const { header } of readTarGz(copy, limits)) {
    if (header.type !== '2') continue;
    const [path, target] = [header.name, header.target].map((name) => Buffer.from(name, 'latin1').toString());
    if (path === undefined || target === undefined || links.length >= maxLinks)
      throw new CroftError('exhausted', 'the archive has too many links');
    if (leaves(path, target)) throw new CroftError('invalid', `the link ${JSON.stringify(path)} leaves the archive`);
    links.push({ path: posix.normalize(path), target });
  }
  return links;
}

function leaves(path: string, target: string): boolean {
  const end = posix.normalize(posix.join(posix.dirname(path), target));
  return (
    posix.isAbsolute(path) ||
    posix.isAbsolute(target) ||
    [end, posix.normalize(path)].some((name) => name === '..' || name.startsWith('../'))
  );
}

/** @param dir absolute, on the machine. @throws CroftError `exhausted` when the machine does not make them */
export async function putLinks(client: GoClient, { dir, links }: { dir: string; links: readonly Link[] }, waits: Waits): Promise<void> {
  for (const batch of batches(links)) {
    let said = '';
    const output = (piece: Buffer): void => void (said += said.length < batchBytes ? piece.toString() : '');
    const args = ['-c', makeLinks, 'sh', ...batch.flatMap(({ path, target }) => [target, path])];
    const { state } = await client.exec('/bin/sh', { args, dir, systemLevel: true, output }, waits);
    if (state !== 'ok')
      throw new CroftError('exhausted', `one of Go’s buildlets cannot make the symbolic links of the files: ${state} ${said.trim()}`);
  }
}

function* batches(links: readonly Link[]): Generator<Link[]> {
  let batch: Link[] = [];
  let bytes = 0;
  for (const link of links) {
    const more = Buffer.byteLength(link.path) + Buffer.byteLength(link.target) + 2;
    if (bytes + more > batchBytes && batch.length > 0) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(link);
    bytes += more;
  }
  if (batch.length > 0) yield batch;
}
