/** Tar archives as no program would write them, entry by entry, for tests. */
import { gzipSync } from 'node:zlib';

export interface RawEntry {
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly target?: string;
  readonly mode?: number;
  readonly mtime?: number;
  /** Told in the header, whatever the content is. */
  readonly size?: number;
}

export function rawEntry(name: string, entry: RawEntry = {}): Buffer {
  const { type = '0', target = '', mode = 0o644, mtime = 0 } = entry;
  const content = Buffer.from(entry.content ?? '');
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'utf8');
  for (const [value, at] of [
    [mode, 100],
    [0, 108],
    [0, 116],
  ] as const)
    header.write(`${value.toString(8).padStart(7, '0')}\0`, at);
  for (const [value, at] of [
    [entry.size ?? content.length, 124],
    [mtime, 136],
  ] as const)
    header.write(`${value.toString(8).padStart(11, '0')}\0`, at);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(target, 157, 100, 'utf8');
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc(-content.length & 511)]);
}

export const tarEnd: Buffer = Buffer.alloc(1024);

export function rawTarGz(...entries: readonly Buffer[]): Buffer {
  return gzipSync(Buffer.concat([...entries, tarEnd]));
}

/** PAX records (`x`), or global ones (`g`). */
export function paxEntry(records: Readonly<Record<string, string>>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length = String(length).length + Buffer.byteLength(rest);
    return `${length}${rest}`;
  });
  return rawEntry('pax', { type, content: lines.join('') });
}
