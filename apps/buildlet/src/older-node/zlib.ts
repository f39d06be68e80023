/** Stands in the bundle for `node:zlib`, whose `crc32` came with Node 20.15. */
import * as zlib from 'node:zlib';

export * from 'node:zlib';

export const crc32: typeof zlib.crc32 = zlib.crc32 ?? crc32InScript;

let table: Int32Array | undefined;

/** The checksum of gzip and PNG, RFC 1952 section 8. */
export function crc32InScript(data: string | NodeJS.ArrayBufferView, before = 0): number {
  const bytes = typeof data === 'string' ? Buffer.from(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  table ??= Int32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xed_b8_83_20 : rest >>> 1;
    return rest;
  });
  let checksum = ~before;
  for (const byte of bytes) checksum = (table[(checksum ^ byte) & 0xff] ?? 0) ^ (checksum >>> 8);
  return ~checksum >>> 0;
}
