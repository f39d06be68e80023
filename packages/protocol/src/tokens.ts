/** Tokens by which people and programs are let in, as admins see to them. */
import * as z from 'zod';
import { roleNames } from './api.ts';

const at = z.number().int().meta({ description: 'epoch ms' });

export const tokenRequestSchema = z.strictObject({
  name: z.string().trim().min(1).max(100),
  role: z.enum(roleNames),
  /** At most a year. */
  expiresInMs: z
    .number()
    .int()
    .positive()
    .max(366 * 24 * 3_600_000),
  /** Further restriction to repositories; empty means all. */
  repos: z.array(z.string()).default([]),
});
export const tokenViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(roleNames),
  repos: z.array(z.string()),
  createdAt: at,
  expiresAt: at,
  lastUsedAt: at.optional(),
  revokedAt: at.optional(),
});
export type TokenView = z.infer<typeof tokenViewSchema>;
export const newTokenSchema = tokenViewSchema.extend({ secret: z.string().meta({ description: 'shown once, never stored' }) });
export const tokenListSchema = z.object({ tokens: z.array(tokenViewSchema) });
