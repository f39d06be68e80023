/**
 * Digests of files that were read before, so that whoever asks for a large tree again has it at once. A file is known by device, inode, size
 * and both of its times, of which a command can set but one. Memory of constant size, in sets of eight places as in a processor's cache.
 */
import type { BigIntStats } from 'node:fs';

/** What tells a file, and one state of it, from every other. */
export type FileState = Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>;

export interface DigestMemory {
  /** In hex. */
  find(file: FileState): string | undefined;
  /** One that has changed within the last two seconds is not kept: the next change might not show in its times. */
  keep(file: FileState, digest: string, nowMs: number): void;
}

const ways = 8;
const defaultSets = 16 * 1024;
const keyWords = 5;
const digestBytes = 32;
const placeWords = keyWords + digestBytes / 8;
const wordBytes = 8;
/** The coarsest times that file systems keep. */
const settledNs = 2_000_000_000n;
const nsOfMs = 1_000_000n;
/** Spreads inodes, which are given one after the other, over all bits (the golden ratio). */
const spread = 0x9e3779b97f4a7c15n;
const hashShift = 40n;

/** @param sets of eight files each; 9 MB at most, taken at the first use and of the system only as it fills */
export function createDigestMemory(sets = defaultSets): DigestMemory {
  let table: { readonly words: BigInt64Array; readonly bytes: Buffer } | undefined;
  let turn = 0;
  const firstPlace = ({ dev, ino }: FileState): number =>
    Number((BigInt.asUintN(64, (ino ^ dev) * spread) >> hashShift) % BigInt(sets)) * ways;

  return {
    find(file) {
      if (!table) return undefined;
      const { words, bytes } = table;
      const first = firstPlace(file);
      for (let place = first; place < first + ways; place += 1) {
        if (holds(words, place, file)) return bytes.toString('hex', placeOfDigest(place), placeOfDigest(place) + digestBytes);
      }
      return undefined;
    },
    keep(file, digest, nowMs) {
      const changedNs = file.mtimeNs > file.ctimeNs ? file.mtimeNs : file.ctimeNs;
      if (BigInt(nowMs) * nsOfMs - changedNs < settledNs) return;
      table ??= allocate(sets);
      const { words, bytes } = table;
      const first = firstPlace(file);
      let place = first + (turn = (turn + 1) % ways);
      for (let other = first; other < first + ways; other += 1) if (isSameFile(words, other, file)) place = other; // as it was before
      words.set([file.ino, file.dev, file.size, file.mtimeNs, file.ctimeNs], place * placeWords);
      bytes.write(digest, placeOfDigest(place), digestBytes, 'hex');
    },
  };
}

function allocate(sets: number): { words: BigInt64Array; bytes: Buffer } {
  const memory = new ArrayBuffer(sets * ways * placeWords * wordBytes);
  return { words: new BigInt64Array(memory), bytes: Buffer.from(memory) };
}

function isSameFile(words: BigInt64Array, place: number, { ino, dev }: FileState): boolean {
  return words[place * placeWords] === ino && words[place * placeWords + 1] === dev;
}

function holds(words: BigInt64Array, place: number, file: FileState): boolean {
  const at = place * placeWords;
  if (!isSameFile(words, place, file)) return false;
  return words[at + 2] === file.size && words[at + 3] === file.mtimeNs && words[at + 4] === file.ctimeNs;
}

function placeOfDigest(place: number): number {
  return (place * placeWords + keyWords) * wordBytes;
}
