/** What a directory of a machine holds, with digests: for whoever sends it only what it lacks. @see docs/protocols/buildlet.md#trees */
import { CroftError } from '@croft/runtime/errors';
import type { Question } from './exchange.ts';
import { recordBatches } from './go/lines.ts';

/** `path` is below the directory that was listed, the bytes of the file system as latin1; `mode` the lower twelve bits. */
export type TreeEntry =
  | { readonly kind: 'directory' | 'other'; readonly path: string; readonly mode: number }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly sizeBytes: number;
      /** SHA-256 in hex; undefined of a file that the machine may not read. */
      readonly digest: string | undefined;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

export interface TreeOptions {
  /** Directories below it that are neither told nor entered. */
  readonly skip?: readonly string[] | undefined;
}

export function treeQuestion(dir: string, { skip = [] }: TreeOptions): Question {
  const asked = [['dir', dir], ['recursive', 'true'], ['digest', 'sha256'], ...skip.map((path) => ['skip', path])];
  return { doing: `list "${dir}"`, method: 'GET', path: `/ls?${new URLSearchParams(asked as [string, string][]).toString()}` };
}

/** In batches. @throws CroftError `unavailable` when it is cut, or of another form: that of a buildlet of before */
export async function* treeEntries(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<readonly TreeEntry[]> {
  let link: string | undefined;
  for await (const records of recordBatches(pieces, '\0')) {
    const entries: TreeEntry[] = [];
    for (const record of records) {
      const entry = link === undefined ? parseEntry(record) : ({ kind: 'link', path: link, target: record } as const);
      link = entry.kind === 'link' && !('target' in entry) ? entry.path : undefined;
      if (link === undefined) entries.push(entry as TreeEntry);
    }
    yield entries;
  }
  if (link !== undefined) throw new CroftError('unavailable', 'the list ends before the target of a link');
}

const heads = /^(?:(l) |(f) ([0-7]{1,4}) (\d{1,15}) ([0-9a-f]{64}|-) |([do]) ([0-7]{1,4}) )/;

/** Of a link its first half. */
function parseEntry(record: string): Exclude<TreeEntry, { kind: 'link' }> | { readonly kind: 'link'; readonly path: string } {
  const [head = '', link, file, fileMode = '', size, digest, other, mode = ''] = heads.exec(record) ?? [];
  const path = record.slice(head.length);
  if (link) return { kind: 'link', path };
  if (file)
    return { kind: 'file', path, mode: Number.parseInt(fileMode, 8), sizeBytes: Number(size), digest: digest === '-' ? undefined : digest };
  if (other) return { kind: other === 'd' ? 'directory' : 'other', path, mode: Number.parseInt(mode, 8) };
  throw new CroftError('unavailable', 'the list of files is not understood', {
    hint: 'The machine may run a buildlet that tells no SHA-256; update it.',
  });
}
