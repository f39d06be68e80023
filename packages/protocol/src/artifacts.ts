/** What attempts have left behind, as programs read it and pages show it. */
import * as z from 'zod';

const at = z.number().int().meta({ description: 'epoch ms' });

export const artifactFileSchema = z.object({
  /** Below the root of the tree. */
  path: z.string(),
  bytes: z.number().int(),
  sha256: z.string(),
  /** Permission bits. */
  mode: z.number().int(),
  /** Its bytes; the same address for ever, takes `Range`. */
  url: z.string(),
});
export type ArtifactFileView = z.infer<typeof artifactFileSchema>;

export const artifactSchema = z.object({
  attempt: z.number().int(),
  name: z.string(),
  /** `missing`: nothing was there; `refused`: it could not be kept; `expired`: it was kept, and has gone. */
  state: z.enum(['kept', 'missing', 'refused', 'expired']),
  storedAt: at,
  /** Of one that is kept. */
  keepUntil: at.optional(),
  /** Why it was refused. */
  why: z.string().optional(),
  /** How many it has, or had. */
  files: z.number().int(),
  bytes: z.number().int(),
  /** Of one that is kept, in order of their paths. */
  fileList: z.array(artifactFileSchema),
});
export type ArtifactView = z.infer<typeof artifactSchema>;

/** What an attempt found of what earlier builds hand on, and what it handed on itself. */
export const cacheUseSchema = z.object({
  attempt: z.number().int(),
  name: z.string(),
  key: z.string(),
  /** The entry that it began with; another key than its own where one that begins alike will do. */
  restored: z.object({ key: z.string(), bytes: z.number().int() }).optional(),
  /** Size of the entry that it stored under its key. */
  savedBytes: z.number().int().optional(),
  /** Why it was not restored, or not saved. */
  why: z.string().optional(),
});
export type CacheUseView = z.infer<typeof cacheUseSchema>;

export const artifactListSchema = z.object({ artifacts: z.array(artifactSchema), caches: z.array(cacheUseSchema).default([]) });
