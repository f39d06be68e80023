/** Schemas of runs. @see docs/protocols/runs.md */
import * as z from 'zod';
import { errorCodes } from '@croft/runtime/errors';
import { selfTestSchema } from './self-test.ts';

export const epochHeader = 'croft-epoch';

/** Names what is sent to the work directory, and what a command asks to find there. */
export const sourceHeader = 'croft-source';
export const sourceNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/, 'is not a name of at most 200 letters, digits, ".", "_", "-"');

export const exitSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('exited'), code: z.number().int() }),
  z.object({ kind: z.literal('signalled'), signal: z.string() }),
  z.object({ kind: z.literal('not-started'), reason: z.string() }),
  z.object({ kind: z.literal('over-limit'), limit: z.enum(['time', 'output']), reason: z.string() }),
  z.object({ kind: z.literal('killed'), reason: z.string() }),
  z.object({ kind: z.literal('lost'), reason: z.string() }),
]);

/** What a shell says of a command that could not be started: 127 where what it names is not there, 126 where that may not be executed. */
export function statusOfNotStarted(reason: string): 126 | 127 {
  const isMissing = /^no (?:program|such) |(?:does not exist|no such file or directory|not found|not found in \$PATH)$/.test(reason);
  return isMissing ? 127 : 126;
}

/** What the kernel takes as an argument or a variable: at most 128 KiB, and no NUL. */
const textSchema = z
  .string()
  .max(131_072)
  .refine((text) => !text.includes('\0'), 'holds a NUL');

export const terminalSizeSchema = z.object({ cols: z.number().int().min(1).max(1_000), rows: z.number().int().min(1).max(1_000) });
export type TerminalSize = z.infer<typeof terminalSizeSchema>;

const terminalSchema = z.strictObject({ ...terminalSizeSchema.shape, term: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/) });

const directorySchema = textSchema.min(1).max(4096);

/** What stands between the colons of a PATH. */
const pathElementSchema = directorySchema.regex(/^\/[^:]*$/, 'is not an absolute path without a colon');

const plainSpecSchema = z.strictObject({
  argv: z.array(textSchema).max(4096),
  dir: directorySchema,
  /** Where it runs when `dir` is not there. */
  elseDir: directorySchema.optional(),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), textSchema),
  limitMs: z.number().int().positive(),
  outputLimitBytes: z.number().int().positive(),
  /** A pipe as standard input instead of the null device. */
  input: z.boolean().optional(),
  /** A terminal as stdin, stdout and stderr. */
  pty: terminalSchema.optional(),
  /** Standard error has a pipe and an output of its own instead of being the same as standard output. */
  stderr: z.literal('own').optional(),
  /** Directories behind those of its PATH. */
  path: z.array(pathElementSchema).max(100).optional(),
  /** The account's shell, interactive without `argv`, else with the command line that `argv` is. */
  login: z.literal(true).optional(),
});

export const runSpecSchema = plainSpecSchema
  .refine(({ argv, login }) => (login ? argv.length <= 1 : argv.length > 0), {
    path: ['argv'],
    message: 'is a program and its arguments, or with `login` at most one command line',
  })
  .refine(({ pty, stderr }) => !(pty && stderr), { path: ['stderr'], message: 'a terminal shows both' });
export type RunSpec = z.infer<typeof runSpecSchema>;

/** What it used, and how often the machine ran out of memory meanwhile. */
export const usageSchema = z.object({
  cpuMs: z.number().nonnegative(),
  peakBytes: z.number().nonnegative(),
  oomKills: z.number().int().nonnegative(),
});

/** What its machine went through, one sentence each. */
export const evidenceSchema = z.array(z.string().max(500)).max(20);

const outputSchema = z.object({ length: z.number().int().nonnegative(), from: z.number().int().nonnegative() });

const startedSchema = z.object({
  id: z.string(),
  startedAt: z.number(),
  output: outputSchema,
  /** Where standard error has an output of its own. */
  stderr: outputSchema.optional(),
});

export const runSchema = z.discriminatedUnion('state', [
  z.object({ ...startedSchema.shape, state: z.literal('running') }),
  z.object({
    ...startedSchema.shape,
    state: z.literal('ended'),
    endedAt: z.number(),
    exit: exitSchema,
    usage: usageSchema.optional(),
    evidence: evidenceSchema.optional(),
  }),
]);
export type Run = z.infer<typeof runSchema>;

/** What a run has taken of its input. */
export const takenInputSchema = z.object({ length: z.number().int().nonnegative() });

/** Answers of `/ports`. */
export const givenPortSchema = z.object({ port: z.number().int().min(1).max(65_535) });
export const openPortSchema = z.object({ open: z.boolean() });

export const runListSchema = z.object({ runs: z.array(runSchema) });

export const buildletStatusSchema = z.object({
  Version: z.number().int(),
  Croft: z
    .object({
      boot: z.string().max(100),
      epoch: z.number().int(),
      runs: z.number().int(),
      freeBytes: z.number(),
      lowDisk: z.boolean(),
      cpus: z.number().int().optional(),
      memoryBytes: z.number().optional(),
      pid: z.number().int(),
      /** It ends for an update as soon as nothing would be lost by that, and wants no new build. */
      updating: z.boolean().optional(),
      selfTest: selfTestSchema.optional(),
    })
    .optional(),
});
export type BuildletStatus = z.infer<typeof buildletStatusSchema>;

/** The JSON body of every error of our own endpoints. */
export const errorBodySchema = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  hint: z.string().optional(),
  epoch: z.number().optional(),
});
export type ErrorBody = z.infer<typeof errorBodySchema>;

export const maxWaitMs = 60_000;
