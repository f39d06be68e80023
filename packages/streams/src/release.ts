/**
 * Memory of large chunks, given back by hand. A collector that has to find it is busier than zlib is, and lets it grow meanwhile.
 */
import { Buffer } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What Node's pool of small buffers is never as large as. */
const smallest = 2 * Buffer.poolSize;
/** Freeing less costs more than finding it. */
const worthBytes = 4 * 1024;
/** Of memory that is left to the collector, until it is called. */
const droppedBytes = 4 * 1024 * 1024;

/** What it weighs. */
const outsideBytes = 8 * 1024;

let dropped = 0;
let collectNew: (() => void) | undefined;

/**
 * For whoever is done with a chunk and all that came before it. Where it is the last of its memory, that is freed and the chunk is empty
 * afterwards; one that shares memory with what is to come is left to the collector.
 */
export function release({ buffer, byteOffset, byteLength }: Uint8Array): void {
  if (buffer.byteLength > smallest && byteOffset + byteLength === buffer.byteLength) free(buffer);
}

/** For whoever is done with a chunk that is nobody else's. One that is a part of its memory is left to the collector, as is one not worth the trouble. */
export function freeWhole({ buffer, byteLength }: Buffer): void {
  if (byteLength >= worthBytes && buffer.byteLength === byteLength) free(buffer);
}

/**
 * For whoever is done with a piece that was read from a connection. What Node read it to may hold bytes of other connections as well and cannot be
 * freed by anybody: after so much of it the collector looks through what is new, which takes a millisecond. By itself it would go through the
 * whole heap for each few dozen megabytes.
 */
export function dropRead(piece: Buffer): void {
  freeWhole(piece);
  drop(piece.length);
}

/** For whoever is done with something small that has memory outside of V8, such as a cipher: freeing many at once keeps everybody waiting. */
export function dropOutside(): void {
  drop(outsideBytes);
}

function drop(bytes: number): void {
  dropped += bytes;
  if (dropped < droppedBytes) return;
  dropped = 0;
  collectNew ??= openCollector();
  collectNew();
}

function openCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return typeof collect === 'function' ? () => void collect({ type: 'minor' }) : () => undefined;
}

/** Whatever lies in it is gone. Node 20 leaves it to the collector. */
export function free(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && 'transfer' in memory) memory.transfer(0);
}
