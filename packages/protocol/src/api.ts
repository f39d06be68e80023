/**
 * The JSON API under `/api/v1`: the shapes that programs read and that the pages are rendered from. Instants are epoch ms,
 * durations ms, sizes bytes. Fields are only ever added.
 */
import * as z from 'zod';
import { bands, roles } from '@croft/domain/job';
import { infraCauses } from '@croft/domain/outcome';
import { evidenceSchema, exitSchema, usageSchema } from './runs.ts';
import { selfTestSchema } from './self-test.ts';

export const roleNames = ['monitor', 'viewer', 'developer', 'operator', 'admin'] as const;
/** Each role may do what the ones before it may: see how the farm is; read all of it; retry and cancel; machines and pauses; tokens and audit. */
export type RoleName = (typeof roleNames)[number];

const at = z.number().int().meta({ description: 'epoch ms' });

export const endSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('passed') }),
  z.object({ kind: z.literal('failed'), step: z.string(), text: z.string() }),
  z.object({ kind: z.literal('timed-out'), step: z.string(), text: z.string() }),
  z.object({ kind: z.literal('cancelled'), by: z.string(), why: z.string() }),
  z.object({ kind: z.literal('infra'), cause: z.enum(infraCauses), evidence: z.string() }),
  z.object({ kind: z.literal('skipped'), why: z.string() }),
]);

export const waitSchema = z.object({
  code: z.enum(['hold', 'resting', 'no-machine', 'machines-away', 'behind', 'machines-busy']),
  text: z.string(),
  position: z.number().int(),
  expectedAt: at.optional(),
});

export const commitSchema = z.object({
  repo: z.string(),
  revision: z.string(),
  subject: z.string(),
  authorName: z.string(),
  authorEmail: z.string(),
  committedAt: at,
});
export type CommitView = z.infer<typeof commitSchema>;

export const buildSummarySchema = z.object({
  id: z.string(),
  builder: z.string(),
  repo: z.string(),
  revision: z.string(),
  /** What it is built with: the commits of its toolchains. */
  beside: z.array(z.object({ repo: z.string(), revision: z.string() })).optional(),
  trigger: z.object({ kind: z.enum(['branch', 'change', 'asked']), ref: z.string() }),
  band: z.enum(bands),
  state: z.enum(['queued', 'running', 'cancelling', 'ended']),
  end: endSchema.optional(),
  /** Of a failure: addresses of the issues that its builder is known for. */
  knownIssues: z.array(z.string()).optional(),
  /** Number of the last attempt, 0 while there was none. */
  attempts: z.number().int(),
  createdAt: at,
  /** When the present state began. */
  since: at,
  /** Of the last attempt. */
  startedAt: at.optional(),
  endedAt: at.optional(),
  /** When a running or waiting build should end, from the builder's median. */
  expectedEndAt: at.optional(),
  wait: waitSchema.optional(),
  /** Page of this build, a path. */
  url: z.string(),
});
export type BuildSummary = z.infer<typeof buildSummarySchema>;

export const stepViewSchema = z.object({
  name: z.string(),
  role: z.enum(roles),
  argv: z.array(z.string()),
  state: z.enum(['pending', 'running', 'ended']),
  startedAt: at.optional(),
  endedAt: at.optional(),
  /** Where its output stands in the attempt's log, bytes. */
  logFrom: z.number().int().optional(),
  logTo: z.number().int().optional(),
  exit: exitSchema.optional(),
  usage: usageSchema.optional(),
  /** What its machine went through meanwhile. */
  evidence: evidenceSchema.optional(),
});
export type StepView = z.infer<typeof stepViewSchema>;

export const logViewSchema = z.object({
  state: z.enum(['live', 'complete', 'expired']),
  bytes: z.number().int(),
  lines: z.number().int().optional(),
  /** SHA-1 of all bytes, once complete. */
  sha1: z.string().optional(),
  /** Raw bytes, the same path while live and afterwards; takes `Range`. `<url>/events?from=N` streams. */
  url: z.string(),
});

export const attemptViewSchema = z.object({
  number: z.number().int(),
  state: z.enum(['running', 'ended']),
  startedAt: at,
  endedAt: at.optional(),
  end: endSchema.optional(),
  machine: z.string(),
  /** Why these steps: configured, or what was found in the commit's tree. */
  reason: z.string().optional(),
  configHash: z.string().optional(),
  steps: z.array(stepViewSchema),
  log: logViewSchema,
});
export type AttemptView = z.infer<typeof attemptViewSchema>;

/** What keeps failing and is tried again: somebody should look. */
export const troubleSchema = z.object({ what: z.string(), text: z.string(), since: at, build: z.string().optional() });
export type Trouble = z.infer<typeof troubleSchema>;

export const buildDetailSchema = buildSummarySchema.extend({
  commit: commitSchema.optional(),
  attemptList: z.array(attemptViewSchema),
  trouble: troubleSchema.optional(),
});
export type BuildDetail = z.infer<typeof buildDetailSchema>;

export const buildListSchema = z.object({ builds: z.array(buildSummarySchema), next: z.string().optional() });
export type BuildList = z.infer<typeof buildListSchema>;

export const gridSchema = z.object({
  repo: z.string(),
  repos: z.array(z.string()),
  branch: z.string(),
  branches: z.array(z.string()),
  page: z.number().int(),
  older: z.boolean(),
  builders: z.array(z.string()),
  /** Newest first; `cells` is parallel to `builders`, null where nothing is to be built. */
  rows: z.array(z.object({ commit: commitSchema, cells: z.array(buildSummarySchema.nullable()) })),
});
export type Grid = z.infer<typeof gridSchema>;

export const machineViewSchema = z.object({
  id: z.string(),
  pool: z.string(),
  hostType: z.string(),
  labels: z.array(z.string()),
  state: z.enum(['ready', 'busy', 'away', 'gone']),
  createdAt: at,
  seenAt: at,
  epoch: z.number().int(),
  freeBytes: z.number().optional(),
  /** Why it takes no new work although it answers; absent when it does. */
  held: z.string().optional(),
  /** It takes no builds: it is kept for people who borrow one. */
  forSessions: z.boolean().optional(),
  /** What it found out about itself, last; absent for machines that do not test themselves. */
  selfTest: selfTestSchema.optional(),
  /** What it is doing, and until when that may take. */
  lease: z
    .object({
      id: z.string(),
      holder: z.string(),
      build: z.string().optional(),
      builder: z.string().optional(),
      repo: z.string().optional(),
      revision: z.string().optional(),
      /** Somebody borrows it. */
      session: z.object({ id: z.string(), alias: z.string(), owner: z.string() }).optional(),
      epoch: z.number().int(),
      acquiredAt: at,
    })
    .optional(),
  /** Go's protocol version, as its buildlet tells it. */
  version: z.number().int().optional(),
  /** How it is connected, for one that dials in: what it calls itself, from where, since when. */
  line: z.object({ host: z.string(), from: z.string(), since: at }).optional(),
  /** Of one that is a container: its id, as `docker ps` shows it. */
  container: z.string().optional(),
  /** Somebody took it out of work. */
  drained: z.boolean().optional(),
  /** What an operator should know of it. */
  note: z.string().optional(),
  /** What happens with it next, one sentence. */
  next: z.string(),
  evidence: z.string().optional(),
});
export type MachineView = z.infer<typeof machineViewSchema>;

export const machineCountsSchema = z.object({ ready: z.number().int(), busy: z.number().int(), away: z.number().int() });
export type MachineCounts = z.infer<typeof machineCountsSchema>;

export const machineListSchema = z.object({
  machines: z.array(machineViewSchema),
  next: z.string().optional(),
  found: z.number().int().meta({ description: 'how many there are that were asked for, on all pages' }),
  counts: machineCountsSchema.meta({ description: 'of all machines, asked for or not' }),
});
export type MachineList = z.infer<typeof machineListSchema>;

/** Which configuration holds, and why the last edit of it does not, if so. */
export const configStateSchema = z.object({
  /** Absent where it is not read from a file, and for those who may not see what stands in it. */
  file: z.string().optional(),
  environment: z.enum(['production', 'staging', 'local']),
  loadedAt: at,
  /** Settings that were changed and hold from the next start on. */
  restart: z.array(z.string()),
  problem: z
    .object({
      at,
      count: z.number().int(),
      /** The first of them; for operators. */
      mistakes: z.array(
        z.object({
          file: z.string(),
          line: z.number().int().optional(),
          setting: z.string().optional(),
          message: z.string(),
          nearest: z.string().optional(),
        }),
      ),
    })
    .optional(),
});
export type ConfigState = z.infer<typeof configStateSchema>;

export const configurationSchema = z.object({
  state: configStateSchema,
  settings: z.looseObject({}).meta({ description: 'as loaded: defaults filled in, matrices spread, secrets left out' }),
});

export const farmSchema = z.object({
  version: z.string(),
  startedAt: at,
  /** Why nothing starts at present, if so. */
  hold: z.string().optional(),
  troubles: z.array(troubleSchema),
  disk: z.object({ path: z.string(), freeBytes: z.number(), lowWaterBytes: z.number(), ok: z.boolean() }),
  machines: z.array(machineViewSchema).meta({ description: 'the first 100 by name; `/api/v1/machines` has all' }),
  machineCounts: machineCountsSchema,
  /** Pools whose machines dial in. */
  dialIn: z
    .array(
      z.object({
        pool: z.string(),
        hostType: z.string(),
        expect: z.number().int(),
        connected: z.number().int(),
        /** That were here and are not, latest first. */
        missing: z.array(z.object({ host: z.string(), seenAt: at, why: z.string() })),
      }),
    )
    .default([]),
  running: z.array(buildSummarySchema).meta({ description: 'the first 50' }),
  runningLength: z.number().int(),
  /** The head of the queue in the order of scheduling. */
  queue: z.array(buildSummarySchema),
  queueLength: z.number().int(),
  repos: z.array(
    z.object({
      name: z.string(),
      url: z.string(),
      defaultBranch: z.string().optional(),
      lastFetchAt: at.optional(),
      error: z.string().optional(),
    }),
  ),
  config: configStateSchema,
});
export type Farm = z.infer<typeof farmSchema>;

export const cancelRequestSchema = z.strictObject({ why: z.string().trim().min(1).max(500).default('no reason given') });

export const auditEntrySchema = z.object({
  id: z.number().int(),
  at,
  who: z.string(),
  what: z.string(),
  target: z.string(),
  from: z.string(),
});
export const auditListSchema = z.object({ entries: z.array(auditEntrySchema), next: z.number().int().optional() });

export const whoSchema = z.object({ name: z.string(), role: z.enum(roleNames) });

/** What `/api/v1/events` tells: something changed, look again. */
export const changeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('build'), id: z.string() }),
  z.object({ kind: z.literal('session'), id: z.string() }),
  z.object({ kind: z.literal('farm') }),
  z.object({ kind: z.literal('commits'), repo: z.string() }),
]);
export type Change = z.infer<typeof changeSchema>;
