/** What Go's coordinator tells gomote clients of buildlets that it lends: `/buildlet/create` and `/buildlet/list`. @see buildlet.md 3.9 */
import * as z from 'zod';

/** From this version on the answer to `create` is JSON lines. */
export const createStreamVersion = '20191119';
export const supportedVersionHeader = 'x-supported-version';

const instantSchema = z
  .string()
  .transform((text) => Date.parse(text))
  .refine((at) => !Number.isNaN(at), 'is not a time');

export const remoteBuildletSchema = z
  .object({
    User: z.string().optional(),
    Name: z.string().default(''),
    HostType: z.string().default(''),
    BuilderType: z.string().default(''),
    Created: instantSchema,
    Expires: instantSchema,
  })
  .transform((told) => ({
    /** Who borrowed it, where that is told. */
    user: told.User,
    name: told.Name,
    hostType: told.HostType,
    builderType: told.BuilderType,
    createdAt: told.Created,
    expiresAt: told.Expires,
  }));
export type RemoteBuildlet = z.output<typeof remoteBuildletSchema>;

export const remoteBuildletsSchema = z.array(remoteBuildletSchema);

/** How long it may take: a message, or how many wait before. */
export const waitStatusSchema = z.object({ message: z.string().default(''), ahead: z.number().int().default(0) });
export type WaitStatus = z.output<typeof waitStatusSchema>;

/** One line of the answer to `create`; of several fields the first one here counts, and of none nothing. */
export const createLineSchema = z.object({
  error: z.string().optional(),
  buildlet: remoteBuildletSchema.optional(),
  status: waitStatusSchema.optional(),
});
