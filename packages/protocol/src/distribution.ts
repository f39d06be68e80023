/** What machines are given to run: the files of one version, and how to tell that they are whole. @see docs/protocols/distribution.md */
import * as z from 'zod';

/** What the buildlet of these sources speaks: Go's endpoints, runs, and the reverse line. */
export const protocols = { buildlet: 27, runs: 2, revdial: 2 } as const;

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in hexadecimal');

/** A name without a directory, so that it can be joined to one. */
const fileNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'is not a plain file name');

const fileSchema = z.object({
  name: fileNameSchema,
  size: z.number().int().nonnegative(),
  sha256: sha256Schema,
  /** As Node says it, `linux-x64`: only machines of that kind need the file. Absent: all do. */
  platform: z.string().max(40).optional(),
});
export type DistributedFile = z.infer<typeof fileSchema>;

export const manifestSchema = z.object({
  /** Of this very format. A reader refuses a higher one, and ignores fields that it does not know. */
  format: z.literal(1),
  /** Names the content of the files: the same files have the same version, whatever commit they were made from. */
  version: fileNameSchema,
  /** Of the sources; absent where they are no clone. */
  commit: z.string().max(100).optional(),
  /** What is spoken, by name. */
  protocols: z.record(z.string(), z.number().int()),
  /** The least major version of Node that runs it. */
  node: z.number().int(),
  files: z.array(fileSchema).max(100),
});
export type Manifest = z.infer<typeof manifestSchema>;
