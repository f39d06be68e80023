/** What attempts have left behind, as programs read it and pages show it. */
import { z } from 'zod';

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

export const artifactListSchema = z.object({ artifacts: z.array(artifactSchema) });
