/**
 * The port of what keeps bytes under their SHA-256. A blob that can be found is whole: it appears at once, when all of it is
 * durable, and never changes. Whoever wants to keep one notes its hash elsewhere; what nobody notes is swept.
 */
import type { Waits } from '@croft/runtime/clock';

export interface Blob {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly bytes: number;
}

export interface PutOptions extends Waits {
  /** Longer content is refused. */
  readonly maxBytes: number;
}

export interface Range {
  readonly from: number;
  /** Exclusive; the end when absent. */
  readonly to?: number | undefined;
}

export interface Sweep {
  /** Those of the hashes that something still needs. */
  readonly needed: (hashes: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Blobs put (or put again) later stay: whoever put them may be about to note them. Epoch ms. */
  readonly putBefore: number;
}

export interface Swept {
  readonly blobs: number;
  readonly bytes: number;
}

export interface BlobStore {
  /**
   * Stores what comes, in constant memory. Content that is there already is stored once, and counts as put now.
   * @throws CroftError `exhausted` when it is longer than `maxBytes` or free space is below the low-water mark; what `content` throws.
   * Nothing is left of it then
   */
  put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<Blob>;
  /** Undefined when it is not here. */
  find(sha256: string): Promise<Blob | undefined>;
  /** @throws CroftError `not-found` */
  read(sha256: string, range?: Range): AsyncGenerator<Buffer, void>;
  /** What is not there is no failure. Readers under way come to their end. */
  remove(sha256: string): Promise<void>;
  /** Removes what nothing needs. */
  sweep(sweep: Sweep, waits: Waits): Promise<Swept>;
}

/** @returns whether it can be the name of a blob */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
