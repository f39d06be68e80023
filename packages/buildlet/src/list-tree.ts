/** What a directory of a machine holds, with digests: for whoever sends it only what it lacks. @see docs/protocols/buildlet.md#trees */
import { CroftError } from '@croft/runtime/errors';
import type { Question } from './exchange.ts';
import { recordsOf } from './go/lines.ts';

/** `path` is below the directory that was listed, in the bytes of the file system; `mode` the lower twelve bits. */
export type TreeEntry =
  | { readonly kind: 'directory' | 'other'; readonly path: Buffer; readonly mode: number }
  | {
      readonly kind: 'file';
      readonly path: Buffer;
      readonly mode: number;
      readonly sizeBytes: number;
      /** SHA-256 in hex; undefined of a file that the machine may not read. */
      readonly digest: string | undefined;
    }
  | { readonly kind: 'link'; readonly path: Buffer; readonly target: Buffer };

export interface TreeOptions {
  /** Directories below it that are neither told nor entered. */
  readonly skip?: readonly string[] | undefined;
}

export function treeQuestion(dir: string, { skip = [] }: TreeOptions): Question {
  const asked = [['dir', dir], ['recursive', 'true'], ['digest', 'sha256'], ...skip.map((path) => ['skip', path])];
  return { doing: `list "${dir}"`, method: 'GET', path: `/ls?${new URLSearchParams(asked as [string, string][]).toString()}` };
}

/** @throws CroftError `unavailable` when it is cut, or of another form: that of a buildlet of before */
export async function* treeEntries(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<TreeEntry> {
  let link: Buffer | undefined;
  for await (const record of recordsOf(pieces, 0)) {
    if (link) {
      yield { kind: 'link', path: link, target: Buffer.from(record) };
      link = undefined;
      continue;
    }
    const entry = parseEntry(record);
    if (entry.kind === 'link') link = entry.path;
    else yield entry;
  }
  if (link) throw new CroftError('unavailable', 'the list ends before the target of a link');
}

const heads = /^(?:(l) |(f) ([0-7]{1,4}) (\d{1,15}) ([0-9a-f]{64}|-) |([do]) ([0-7]{1,4}) )/;
const longestHead = 100;

/** Of a link its first half. */
function parseEntry(record: Buffer): Exclude<TreeEntry, { kind: 'link' }> | { readonly kind: 'link'; readonly path: Buffer } {
  const [head = '', link, file, fileMode = '', size, digest, other, mode = ''] =
    heads.exec(record.toString('latin1', 0, longestHead)) ?? [];
  const path = Buffer.from(record.subarray(head.length));
  if (link) return { kind: 'link', path };
  if (file)
    return { kind: 'file', path, mode: Number.parseInt(fileMode, 8), sizeBytes: Number(size), digest: digest === '-' ? undefined : digest };
  if (other) return { kind: other === 'd' ? 'directory' : 'other', path, mode: Number.parseInt(mode, 8) };
  throw new CroftError('unavailable', 'the list of files is not understood', {
    hint: 'The machine may run a buildlet that tells no SHA-256; update it.',
  });
}
