/** Operations for those who run a farm: machines, keys, tokens and the audit trail. A part of the table in `operations.ts`. */
import * as z from 'zod';
import { auditListSchema } from './api.ts';
import { newTokenSchema, tokenListSchema, tokenRequestSchema, tokenViewSchema } from './tokens.ts';
import { keyListSchema, keyRequestSchema, keyViewSchema, machineStateSchema, machineWhySchema, newKeySchema } from './machines.ts';
import type { Operation } from './operations.ts';

export const adminOperations = {
  'machine.drain': {
    method: 'POST',
    path: '/api/v1/machines/{machine}/drain',
    does: 'Takes a machine out of work: it ends what it does and gets nothing new.',
    role: 'operator',
    body: machineWhySchema,
    answer: machineStateSchema,
    errors: ['not-found'],
  },
  'machine.undrain': {
    method: 'DELETE',
    path: '/api/v1/machines/{machine}/drain',
    does: 'Gives a machine work again; no change where it was not drained.',
    role: 'operator',
    answer: machineStateSchema,
    errors: ['not-found'],
  },
  'machine.lose': {
    method: 'POST',
    path: '/api/v1/machines/{machine}/lose',
    does: 'Declares a machine lost now: what it does runs elsewhere, and the machine begins anew when it comes back.',
    role: 'operator',
    body: machineWhySchema,
    answer: machineStateSchema,
    errors: ['not-found'],
  },
  'key.list': {
    method: 'GET',
    path: '/api/v1/keys',
    does: 'All keys of machines that dial in, without their secrets.',
    role: 'admin',
    answer: keyListSchema,
    errors: [],
  },
  'key.create': {
    method: 'POST',
    path: '/api/v1/keys',
    does: 'Makes a key that lets machines of one host type dial in. Its secret is in this answer and nowhere else.',
    role: 'admin',
    body: keyRequestSchema,
    status: 201,
    answer: newKeySchema,
    errors: [],
  },
  'key.revoke': {
    method: 'DELETE',
    path: '/api/v1/keys/{key}',
    does: 'Lets nobody in by this key from now on; machines that are in stay until their line ends.',
    role: 'admin',
    answer: keyViewSchema,
    errors: ['not-found'],
  },
  'token.list': {
    method: 'GET',
    path: '/api/v1/tokens',
    does: 'All tokens, without their secrets.',
    role: 'admin',
    answer: tokenListSchema,
    errors: [],
  },
  'token.create': {
    method: 'POST',
    path: '/api/v1/tokens',
    does: 'Makes a token. Its secret is in this answer and nowhere else.',
    role: 'admin',
    body: tokenRequestSchema,
    status: 201,
    answer: newTokenSchema,
    errors: [],
  },
  'token.revoke': {
    method: 'DELETE',
    path: '/api/v1/tokens/{token}',
    does: 'Ends a token now; ending it again is no change.',
    role: 'admin',
    answer: tokenViewSchema,
    errors: ['not-found'],
  },
  'audit.list': {
    method: 'GET',
    path: '/api/v1/audit',
    does: 'Who asked for what change, newest first; `next` of one answer is `before` of the following request.',
    role: 'admin',
    query: z.object({ limit: z.coerce.number().int().min(1).max(500).default(100), before: z.coerce.number().int().optional() }),
    answer: auditListSchema,
    errors: [],
  },
} as const satisfies Record<string, Operation>;
