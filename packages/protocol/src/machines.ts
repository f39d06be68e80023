/** Machines as operators see to them: keys for those that dial in, and taking one out of work. */
import * as z from 'zod';

const at = z.number().int().meta({ description: 'epoch ms' });

/** Goes into a header and a file of its own: whatever a host type may be. */
export const hostTypePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export const keyRequestSchema = z.strictObject({
  hostType: z.string().regex(hostTypePattern, 'is not a host type'),
  name: z.string().trim().min(1).max(100),
  /** Ten years at most: machines in a rack are not visited each year. */
  expiresInMs: z
    .number()
    .int()
    .positive()
    .max(3_660 * 24 * 3_600_000),
});

export const keyViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  hostType: z.string().meta({ description: 'machines of this host type, and of no other, are let in by it' }),
  createdAt: at,
  expiresAt: at,
  lastUsedAt: at.optional(),
  revokedAt: at.optional(),
});
export type KeyView = z.infer<typeof keyViewSchema>;
export const newKeySchema = keyViewSchema.extend({ secret: z.string().meta({ description: 'shown once, never stored' }) });
export const keyListSchema = z.object({ keys: z.array(keyViewSchema) });

export const machineWhySchema = z.strictObject({ why: z.string().trim().min(1).max(500).default('no reason given') });

/** Who took a machine out of work. */
export const drainedSchema = z.object({ by: z.string(), why: z.string(), at });
export type Drained = z.infer<typeof drainedSchema>;

export const machineStateSchema = z.object({ id: z.string(), drained: drainedSchema.optional() });
