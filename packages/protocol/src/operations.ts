/**
 * Every operation of the coordinator's HTTP interface, in one table: what it takes, what it answers, how it fails and the role
 * it needs. The routes are mounted from it, the typed client calls by it and the OpenAPI document is generated from it.
 */
import * as z from 'zod';
import type { ErrorCode } from '@croft/runtime/errors';
import {
  buildDetailSchema,
  buildListSchema,
  buildSummarySchema,
  cancelRequestSchema,
  configurationSchema,
  farmSchema,
  gridSchema,
  machineListSchema,
  whoSchema,
  type RoleName,
} from './api.ts';
import { artifactListSchema } from './artifacts.ts';
import { buildRecordsSchema } from './build-records.ts';
import { adminOperations } from './admin-operations.ts';
import { sessionOperations } from './session-operations.ts';
import { sshOperations } from './ssh-operations.ts';

export interface Operation {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Parameters in braces; `pathParameters` describes them. */
  readonly path: `/${string}`;
  /** One sentence. */
  readonly does: string;
  /** The least role that may use it. `anyone` needs no identity at all. */
  readonly role: RoleName | 'anyone';
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Of a success; 200 when absent. */
  readonly status?: 201;
  /** The schema of a JSON answer, or the content type of any other. */
  readonly answer: z.ZodType | string;
  /** Beside those that every operation may answer (see `commonErrors`). */
  readonly errors: readonly ErrorCode[];
  /** Changes nothing that people would look for in the audit trail. */
  readonly unaudited?: true;
}

const page = z.coerce.number().int().min(0).max(100_000).default(0).meta({ description: 'counted from 0, newest first' });
const offset = z.coerce.number().int().min(0).default(0).meta({ description: 'first byte wanted; a Last-Event-ID header goes before it' });

/** The data of a `chunk` of `log.follow`. */
export const logChunkSchema = z.object({ from: z.number().int(), b64: z.string() });

export const operations = {
  'grid.get': {
    method: 'GET',
    path: '/api/v1/grid',
    does: 'Commits of a branch against builders.',
    role: 'viewer',
    query: z.object({ repo: z.string().optional(), branch: z.string().optional(), page }),
    answer: gridSchema,
    errors: ['not-found'],
  },
  'builds.list': {
    method: 'GET',
    path: '/api/v1/builds',
    does: 'Builds, newest first; `next` of one answer is `before` of the following request.',
    role: 'viewer',
    query: z.object({
      repo: z.string().optional(),
      builder: z.string().optional(),
      revision: z.string().optional(),
      state: z.enum(['queued', 'running', 'ended']).optional(),
      limit: z.coerce.number().int().min(1).max(500).default(50),
      before: z.string().max(200).optional(),
    }),
    answer: buildListSchema,
    errors: [],
  },
  'build.get': {
    method: 'GET',
    path: '/api/v1/builds/{build}',
    does: 'One build with its attempts and steps.',
    role: 'viewer',
    answer: buildDetailSchema,
    errors: ['not-found'],
  },
  'build.records': {
    method: 'GET',
    path: '/api/v1/builds/{build}/records',
    does: 'The events and spans of its attempts and its record, in the originals’ words.',
    role: 'viewer',
    answer: buildRecordsSchema,
    errors: ['not-found'],
  },
  'build.artifacts': {
    method: 'GET',
    path: '/api/v1/builds/{build}/artifacts',
    does: 'What its attempts have left behind, file by file, and what they made of caches.',
    role: 'viewer',
    answer: artifactListSchema,
    errors: ['not-found'],
  },
  'artifact.get': {
    method: 'GET',
    path: '/builds/{build}/attempts/{attempt}/artifacts/{artifact}/{path}',
    does: 'The bytes of one file that was left behind, always as a download. `path` may have slashes. Takes a single Range.',
    role: 'viewer',
    answer: 'application/octet-stream',
    errors: ['not-found'],
  },
  'build.cancel': {
    method: 'POST',
    path: '/api/v1/builds/{build}/cancel',
    does: 'Ends a build that waits or runs; its command tree is killed.',
    role: 'operator',
    body: cancelRequestSchema,
    answer: buildSummarySchema,
    errors: ['not-found', 'conflict'],
  },
  'build.retry': {
    method: 'POST',
    path: '/api/v1/builds/{build}/retry',
    does: 'Queues an ended build again; old attempts are kept and numbers go on.',
    role: 'developer',
    answer: buildSummarySchema,
    errors: ['not-found', 'conflict'],
  },
  'repo.notify': {
    method: 'POST',
    path: '/api/v1/repos/{repo}/notify',
    does: 'Looks for new commits now; answers when what was found is queued.',
    role: 'developer',
    answer: z.object({ queued: z.array(z.string()).meta({ description: 'ids of new builds' }) }),
    errors: ['not-found'],
  },
  'farm.get': {
    method: 'GET',
    path: '/api/v1/farm',
    does: 'The first machines with what they do, how many there are, the queue with reasons, repositories and disk.',
    role: 'viewer',
    answer: farmSchema,
    errors: [],
  },
  'machine.list': {
    method: 'GET',
    path: '/api/v1/machines',
    does: 'Machines by name, with what each does and does next; `next` of one answer is `after` of the following request.',
    role: 'viewer',
    query: z.object({
      find: z.string().max(200).optional().meta({ description: 'words that all stand in its name, pool, host type or labels' }),
      state: z.enum(['ready', 'busy', 'away']).optional(),
      limit: z.coerce.number().int().min(1).max(500).default(100),
      after: z.string().max(200).optional(),
    }),
    answer: machineListSchema,
    errors: [],
  },
  'config.get': {
    method: 'GET',
    path: '/api/v1/config',
    does: 'The configuration as it was loaded, without secrets, and what is wrong with the last edit of it.',
    role: 'operator',
    answer: configurationSchema,
    errors: [],
  },
  'me.get': { method: 'GET', path: '/api/v1/me', does: 'Who the farm takes you for.', role: 'viewer', answer: whoSchema, errors: [] },
  'changes.follow': {
    method: 'GET',
    path: '/api/v1/events',
    does: 'Server-sent events `change`, each saying that something changed: look again. Data as in components/schemas/Change.',
    role: 'viewer',
    answer: 'text/event-stream',
    errors: [],
  },
  ...sessionOperations,
  ...sshOperations,
  ...adminOperations,
  'openapi.get': {
    method: 'GET',
    path: '/api/v1/openapi.json',
    does: 'This document.',
    role: 'viewer',
    answer: z.looseObject({ openapi: z.string(), paths: z.record(z.string(), z.unknown()) }),
    errors: [],
  },
  'log.last': {
    method: 'GET',
    path: '/builds/{build}/log',
    does: 'The bytes of the last attempt’s log so far; `follow=1` goes on until it is complete. Takes a single Range.',
    role: 'viewer',
    query: z.object({ follow: z.literal('1').optional() }),
    answer: 'text/plain; charset=utf-8',
    errors: ['not-found'],
  },
  'log.attempt': {
    method: 'GET',
    path: '/builds/{build}/attempts/{attempt}/log',
    does: 'The same for one attempt; this address never changes what it names.',
    role: 'viewer',
    query: z.object({ follow: z.literal('1').optional() }),
    answer: 'text/plain; charset=utf-8',
    errors: ['not-found'],
  },
  'log.follow': {
    method: 'GET',
    path: '/builds/{build}/attempts/{attempt}/log/events',
    does: 'Server-sent events: `chunk` {from, b64}, whose id is the offset after it, and `end` {bytes} when the log is complete.',
    role: 'viewer',
    query: z.object({ from: offset }),
    answer: 'text/event-stream',
    errors: ['not-found'],
  },
  'log.byHash': {
    method: 'GET',
    path: '/log/{sha1}',
    does: 'A complete log by the SHA-1 of its bytes.',
    role: 'viewer',
    answer: 'text/plain; charset=utf-8',
    errors: ['not-found'],
  },
  'results.originals': {
    method: 'GET',
    path: '/',
    does: 'The grid as Go’s dashboard gives it: JSON, or a line for each failure. Without a mode it is the page.',
    role: 'viewer',
    query: z.object({ mode: z.enum(['json', 'failures']), repo: z.string().optional(), branch: z.string().optional(), page }),
    answer: 'text/json; charset=utf-8',
    errors: ['not-found'],
  },
  'health.live': {
    method: 'GET',
    path: '/healthz',
    does: 'Answers while the process serves.',
    role: 'anyone',
    answer: 'text/plain; charset=utf-8',
    errors: [],
  },
  'health.ready': {
    method: 'GET',
    path: '/readyz',
    does: 'Whether new work is accepted and builds can start; 503 otherwise, with the reasons for whoever has a role.',
    role: 'anyone',
    answer: z.object({ ready: z.boolean(), reasons: z.array(z.string()) }),
    errors: ['unavailable', 'unauthenticated'],
  },
  'metrics.get': {
    method: 'GET',
    path: '/metrics',
    does: 'Prometheus text.',
    role: 'monitor',
    answer: 'text/plain; version=0.0.4; charset=utf-8',
    errors: [],
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;
/** Operations that answer JSON. */
export type JsonOperationName = {
  [Name in OperationName]: (typeof operations)[Name]['answer'] extends z.ZodType ? Name : never;
}[OperationName];

export type SessionOperationName = keyof typeof sessionOperations & JsonOperationName;
export type SshOperationName = keyof typeof sshOperations & JsonOperationName;

export type AnswerOf<Name extends OperationName> = (typeof operations)[Name]['answer'] extends infer Schema extends z.ZodType
  ? z.output<Schema>
  : never;
export type QueryOf<Name extends OperationName> = (typeof operations)[Name] extends { query: infer Schema extends z.ZodType }
  ? z.output<Schema>
  : undefined;
export type BodyOf<Name extends OperationName> = (typeof operations)[Name] extends { body: infer Schema extends z.ZodType }
  ? z.output<Schema>
  : undefined;
/** What a caller may leave out is optional here. */
export type BodyInputOf<Name extends OperationName> = (typeof operations)[Name] extends { body: infer Schema extends z.ZodType }
  ? z.input<Schema>
  : undefined;

/** What any operation may answer: bad request, not signed in, not allowed, too much, a bug. */
export const commonErrors: readonly ErrorCode[] = ['invalid', 'unauthenticated', 'forbidden', 'exhausted', 'internal'];

/** The path with its parameters filled in. */
export function pathOf(name: OperationName, params: Readonly<Record<string, string>> = {}): string {
  return operations[name].path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(params[key] ?? ''));
}
