/** Of a tar.gz that comes, what patterns select, packed anew as it comes: for machines that send everything. */
import { selects, withContents } from '@croft/domain/pattern';
import type { Waits } from '@croft/runtime/clock';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { readTarGz } from '@croft/streams/tar-read';

export interface Filtering extends Waits {
  readonly match: readonly string[];
  readonly gzipLevel: number;
}

const limits = { maxBytes: 64 * 1024 ** 3, maxEntries: 5_000_000 };

/** Files, directories and links; whatever else there is, is left out. */
export function filterArchive(source: AsyncIterable<Uint8Array>, { match, gzipLevel, signal }: Filtering): AsyncGenerator<Buffer> {
  return packTarGz(selected(source, { match: withContents(match), signal }), { level: gzipLevel });
}

async function* selected(
  source: AsyncIterable<Uint8Array>,
  { match, signal }: Waits & { match: readonly string[] },
): AsyncGenerator<TarEntry> {
  for await (const { header, content } of readTarGz(source, { ...limits, signal })) {
    const path = Buffer.from(header.name.replace(/\/+$/, ''), 'latin1');
    if (path.length === 0 || !selects(match, path.toString())) continue;
    const { mode, size } = header;
    if (header.type === '5') yield { kind: 'directory', path };
    else if (header.type === '2') yield { kind: 'link', path, target: Buffer.from(header.target, 'latin1') };
    else if (header.type === '0' || header.type === '\0') {
      yield { kind: 'file', path, mode: mode & 0o7777, size, mtime: Math.max(0, Math.round(header.mtime)), content };
    }
  }
}
