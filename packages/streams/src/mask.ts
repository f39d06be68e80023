/**
 * Blanks secrets out of a stream of bytes. Each byte of a secret becomes one `*`, so offsets stay what they are. Memory is constant:
 * what may be the beginning of a secret is held back until it is known, and nothing else.
 */
import { createFinder, type Finder } from './find-forms.ts';
import { secretForms } from './secret-forms.ts';

export interface MaskStream {
  /** What is known to be clean by now; may be the chunk itself or a part of it, which is never written to. */
  push(chunk: Buffer): Buffer;
  /** What was held back. The stream begins anew afterwards. */
  end(): Buffer;
}

/** Makes streams over the same secrets. */
export type Masker = () => MaskStream;

const star = 0x2a;
const nothing = Buffer.alloc(0);
const passThrough: MaskStream = { push: (chunk) => chunk, end: () => nothing };

export function createMasker(secrets: Iterable<string>): Masker {
  const forms = [...new Set(secrets)].flatMap(secretForms);
  if (forms.length === 0) return () => passThrough;
  const finder = createFinder(forms);
  return () => maskStream(finder);
}

function maskStream(find: Finder): MaskStream {
  let held = nothing;
  /** So many of the first held bytes belong to a secret that began before them. */
  let known = 0;
  return {
    push(chunk) {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const { pending, ranges } = find(bytes);
      const clean = blank(bytes, [...(known > 0 ? [0, known] : []), ...ranges]);
      const to = bytes.length - pending;
      const across = ranges.findLastIndex((from, index) => index % 2 === 0 && from < to);
      known = Math.max(0, known - to, across < 0 ? 0 : (ranges[across + 1] ?? 0) - to);
      held = Buffer.from(bytes.subarray(to));
      return clean.subarray(0, to);
    },
    end() {
      const clean = blank(held, [...(known > 0 ? [0, known] : []), ...find(held).ranges]);
      held = nothing;
      known = 0;
      return clean;
    },
  };
}

/** A copy with stars in the ranges, or the same where there are none. */
function blank(bytes: Buffer, ranges: readonly number[]): Buffer {
  if (ranges.length === 0) return bytes;
  const copy = Buffer.from(bytes);
  for (let index = 0; index < ranges.length; index += 2) copy.fill(star, ranges[index], ranges[index + 1]);
  return copy;
}
