/**
 * Every setting of the coordinator, with units and defaults that run on a laptop. Read once; all mistakes are listed at once.
 * The file is the operator's: nothing of it is ever read from a farmed revision.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { parseBuilderName, parseRepoName, parseStepName } from '@croft/domain/names';
import { roles } from '@croft/domain/job';
import { liveness } from '@croft/domain/lease';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import { DAY, MINUTE, SECOND } from '@croft/runtime/clock';
import { parseConfig, secretSchema } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';

const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: errorText(error) });
      return z.NEVER;
    }
  });

/** What a command can be given: the kernel ends a text at NUL. */
const text = z.string().regex(/^[^\0]*$/, 'holds a NUL');
const envSchema = z.record(z.string().regex(/^(?!CROFT_|META_)[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name a job may set'), text);
const ms = z.number().int().positive();

const stepSchema = z.strictObject({
  name: parsed(parseStepName).refine((name) => name !== 'source', '"source" is the step that Croft itself makes'),
  role: z.enum(roles).default('step'),
  /** Program and arguments; no shell in between. */
  argv: z
    .array(text)
    .min(1)
    .refine(([program]) => program !== '', 'the program has no name'),
  env: envSchema.default({}),
  /** Relative to the root of the tree, and inside of it. */
  dir: text.regex(/^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))./, 'is not a directory inside of the tree').default('.'),
  limitMs: ms.default(60 * MINUTE),
});

const builderSchema = z.strictObject({
  name: parsed(parseBuilderName),
  repo: parsed(parseRepoName),
  /** `detect`: the command is found in each commit's own tree. */
  steps: z
    .union([z.literal('detect'), z.array(stepSchema).min(1)])
    .default('detect')
    .refine((steps) => steps === 'detect' || new Set(steps.map((step) => step.name)).size === steps.length, 'two steps have the same name'),
  env: envSchema.default({}),
  needs: z.strictObject({ labels: z.array(z.string()).default([]) }).default({ labels: [] }),
  isolation: z.enum(['none', 'container', 'vm']).default('none'),
  trust: z.enum(['trusted', 'untrusted']).default('trusted'),
  outputs: z.array(z.string()).default([]),
  retention: z
    .strictObject({ logAgeMs: ms.default(90 * DAY), logBytes: z.number().int().positive().default(20e9) })
    .default({ logAgeMs: 90 * DAY, logBytes: 20e9 }),
  source: z
    .strictObject({ submodules: z.boolean().default(false), lfs: z.boolean().default(false) })
    .default({ submodules: false, lfs: false }),
});

const repoSchema = z.strictObject({
  name: parsed(parseRepoName),
  /** A path or an address that git can fetch from. */
  url: parsed((text) => {
    parseRepositoryUrl(text);
    return text;
  }),
  /** Empty: the branch its HEAD is on. */
  branches: z.array(z.string()).default([]),
  /** How many of the newest commits of each branch are built. */
  depth: z.number().int().positive().max(10_000).default(30),
  pollMs: ms.default(15 * SECOND),
});

const localPoolSchema = z.strictObject({
  kind: z.literal('local'),
  name: z
    .string()
    .regex(/^[a-z][a-z0-9]{0,19}$/)
    .default('local'),
  /** How many buildlets: how many builds at once. */
  size: z.number().int().nonnegative().max(1000).default(1),
  hostType: z.string().default(`host-${process.platform}-${process.arch}`),
  labels: z.array(z.string()).default([process.platform, process.arch]),
  /** A buildlet that hears from no coordinator for this long ends its commands and itself, ms. */
  orphanedMs: ms.default(liveness.orphanedMs),
});

export const configSchema = z
  .strictObject({
    /** Holds everything: database, logs, mirrors, machines. One coordinator at a time. */
    dataDir: z.string().transform((path) => resolve(path)),
    /** `sqlite:PATH` or `postgres://…`; the default is `croft.db` in the data directory. */
    databaseUrl: secretSchema.optional(),
    /** `power`: an accepted change survives a power cut; `kill`: it survives kill -9 of anything. */
    durability: z.enum(['power', 'kill']).default('power'),
    host: z.string().default('127.0.0.1'),
    port: z.number().int().min(0).max(65_535).default(8119),
    /** Names under which browsers reach it, for the Host check; loopback names are always allowed. */
    publicHosts: z.array(z.string()).default([]),
    tls: z.strictObject({ certFile: z.string(), keyFile: z.string() }).optional(),
    /** Says that something in front ends TLS. */
    behindProxy: z.boolean().default(false),
    /** May people without a token read? Never on an open address without this. */
    anonymous: z.enum(['none', 'viewer']).default('none'),
    logLevel: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    logFile: z.string().optional(),
    /** Below this much free disk no build starts, bytes. */
    lowWaterBytes: z.number().int().nonnegative().default(2e9),
    /** A command that writes more is killed, bytes. */
    outputLimitBytes: z
      .number()
      .int()
      .positive()
      .default(4 * 2 ** 30),
    repos: z.array(repoSchema).default([]),
    builders: z.array(builderSchema).default([]),
    pools: z.array(localPoolSchema).default([]),
  })
  .superRefine((config, context) => {
    const repos = new Set<string>(config.repos.map((repo) => repo.name));
    config.builders.forEach((builder, index) => {
      if (repos.has(builder.repo)) return;
      const message = `no repository is called "${builder.repo}"; there are: ${[...repos].join(', ') || 'none'}`;
      context.addIssue({ code: 'custom', path: ['builders', index, 'repo'], message });
    });
    config.builders.forEach(({ isolation, trust }, index) => {
      if (isolation === 'none' && trust === 'trusted') return;
      const path = ['builders', index, isolation === 'none' ? 'trust' : 'isolation'];
      context.addIssue({ code: 'custom', path, message: 'no pool can isolate what it runs: local machines run everything as you' });
    });
    for (const kind of ['repos', 'builders', 'pools'] as const) {
      const names = config[kind].map((entry) => entry.name as string);
      const twice = names.find((name, index) => names.indexOf(name) !== index);
      if (twice !== undefined) context.addIssue({ code: 'custom', path: [kind], message: `"${twice}" is there twice` });
    }
  });

export type Config = z.output<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;
export type RepoConfig = Config['repos'][number];

export function readConfig(input: ConfigInput, source = 'settings'): Config {
  return parseConfig(configSchema, input, source);
}

/** @throws CroftError `invalid` that names the file and every mistake in it. */
export async function readConfigFile(path: string): Promise<Config> {
  let input: unknown;
  try {
    input = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new CroftError('invalid', `reading the configuration ${path}`, { cause: error, hint: 'Give the path of a JSON file.' });
  }
  return parseConfig(configSchema, input, path);
}
