/**
 * Sessions: machines of the farm that people borrow. Paths are below `/api/v1`; who may use them is in `session-operations.ts`.
 * Instants are epoch ms, durations ms.
 */
import * as z from 'zod';
import { waitSchema } from './api.ts';

const at = z.number().int().meta({ description: 'epoch ms' });

/** A session's id, its alias, or the alias with `user-` or `mutable-` in front, as Go's tools write it; or `build-` and a build's id. */
export const sessionNamePattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,219}$';

const note = z.string().trim().max(500);

export const sessionRequestSchema = z.strictObject({ builder: z.string().min(1).max(100), note: note.default('') });

export const sessionStates = ['waiting', 'preparing', 'active', 'ending', 'ended'] as const;

export const sessionViewSchema = z.object({
  /** `S` and 16 hex digits; never given twice. */
  id: z.string(),
  /** `OWNER-BUILDER-N`, N the lowest that is free; may be given again once this session has ended. */
  alias: z.string(),
  owner: z.string(),
  builder: z.string(),
  hostType: z.string().optional(),
  /** Why there is a session: asked for, kept from a failed attempt, or made like one. */
  from: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('asked') }),
    z.object({
      kind: z.enum(['held', 'repro']),
      build: z.string(),
      attempt: z.number().int(),
      /** Nobody asked for it: developers who may see the build may use it. */
      policy: z.literal(true).optional(),
    }),
  ]),
  /** `preparing`: it has a machine, on which its tree and first steps are being made. `ending`: its machine is being cleaned. */
  state: z.enum(sessionStates),
  /** Of one that is being prepared: what is being done, one line. */
  progress: z.string().optional(),
  note: z.string(),
  /** Names of others who may use it as its owner does. */
  sharedWith: z.array(z.string()),
  /** Those of them whom nobody here is called: no token that counts, no login at GitHub. They may use it once somebody is. */
  strangers: z.array(z.string()).optional(),
  machine: z.string().optional(),
  createdAt: at,
  startedAt: at.optional(),
  /** Last use. */
  usedAt: at.optional(),
  /** It ends then, unless somebody uses it before. */
  expiresAt: at.optional(),
  /** It cannot be extended beyond this. */
  latestAt: at.optional(),
  endedAt: at.optional(),
  /** Of one that ends or has ended, a sentence. */
  endReason: z.string().optional(),
  /** Of one that waits. */
  wait: waitSchema.optional(),
  /** Page of this session, a path. */
  url: z.string(),
  /** How it is entered with OpenSSH, where the farm has an SSH door. */
  ssh: z.string().optional(),
});
export type SessionView = z.infer<typeof sessionViewSchema>;

export const sessionListSchema = z.object({ sessions: z.array(sessionViewSchema) });
export const sessionExtendSchema = z.strictObject({ forMs: z.number().int().positive() });
export const sessionShareSchema = z.strictObject({ with: z.array(z.string().trim().min(1).max(100)).max(20) });
export const sessionNoteSchema = z.strictObject({ note });
/** Without `forMs`: as long as the farm's policy says. */
export const holdRequestSchema = z.strictObject({ forMs: z.number().int().positive().optional(), note: note.default('') });
export const reproRequestSchema = z.strictObject({ note: note.default('') });
export const sessionEndSchema = z.strictObject({ why: z.string().trim().min(1).max(500).default('no reason given') });
