/** The lines of `GET /ls`, as they come. @see buildlet.md 1.5 and 3.6 */
import { linesOf } from './lines.ts';

export interface DirEntry {
  /** As it came, without its end. */
  readonly line: string;
  /** In Go's words: `drwxr-xr-x`, `Lrwxrwxrwx`, `-rw-r--r--`. */
  readonly perm: string;
  /** Below the directory that was asked for, with `/`; a directory's name ends in one. */
  readonly name: string;
  readonly isDir: boolean;
  /** Of regular files, as are the next two; the digest where it was asked for: SHA-1, hex. */
  readonly sizeBytes?: number;
  readonly mtimeAt?: number;
  readonly digest?: string;
}

/** @throws CroftError `exhausted` when a line has no end within 1 MiB, `unavailable` when the last one has none at all */
export async function* listEntries(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<DirEntry> {
  for await (const line of linesOf(pieces)) yield parseEntry(line);
}

/** Size, time and digest are found from the end, so that a tab in a name does no harm. */
export function parseEntry(line: string): DirEntry {
  const at = line.indexOf('\t');
  const perm = at === -1 ? line : line.slice(0, at);
  const rest = at === -1 ? '' : line.slice(at + 1);
  const known = { line, perm, isDir: perm.startsWith('d') };
  const found = /^([^]*)\t(\d{1,15})\t(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?:\t([0-9a-f]{40}))?$/.exec(rest);
  if (!found || known.isDir) return { ...known, name: rest };
  const [, name = '', size, time = '', digest] = found;
  const mtimeAt = Date.parse(time);
  return {
    ...known,
    name,
    sizeBytes: Number(size),
    ...(Number.isNaN(mtimeAt) ? {} : { mtimeAt }),
    ...(digest === undefined ? {} : { digest }),
  };
}
