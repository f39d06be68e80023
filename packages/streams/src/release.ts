/**
 * Memory of large chunks, given back by hand. A collector that has to find it is busier than zlib is, and lets it grow meanwhile.
 */
import { Buffer } from 'node:buffer';

/** What Node's pool of small buffers is never as large as. */
const smallest = 2 * Buffer.poolSize;

/**
 * For whoever is done with a chunk and all that came before it. Where it is the last of its memory, that is freed and the chunk is empty
 * afterwards; one that shares memory with what is to come is left to the collector.
 */
export function release({ buffer, byteOffset, byteLength }: Uint8Array): void {
  if (buffer.byteLength > smallest && byteOffset + byteLength === buffer.byteLength) free(buffer);
}

/** For whoever is done with a chunk that is nobody else's. One that is a part of its memory is left to the collector. */
export function freeWhole({ buffer, byteLength }: Buffer): void {
  if (buffer.byteLength === byteLength) free(buffer);
}

/** Whatever lies in it is gone. Node 20 leaves it to the collector. */
export function free(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && 'transfer' in memory) memory.transfer(0);
}
