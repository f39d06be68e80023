/** The schemas of what may be written, part by part: each part is checked by itself, so that one mistake hides no other. */
import * as z from 'zod';
import { bands, roles } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, parseStepName } from '@croft/domain/names';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import { maxTools, toolSchema } from '@croft/protocol/self-test';
import { DAY, MINUTE, SECOND } from '@croft/runtime/clock';
import { secretSchema } from '@croft/runtime/config';
import { errorText } from '@croft/runtime/errors';
import { poolSchema } from './pool-schema.ts';
import { durationSchema, sizeSchema } from './quantities.ts';
import { env, isolatedLabel, label, labels, machineLabels, text, variable } from './schema-parts.ts';

const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: errorText(error) });
      return z.NEVER;
    }
  });

const path = text.regex(/^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))./, 'is not a path inside of the tree');
const pattern = z
  .string()
  .min(1, 'is empty')
  .max(500)
  .regex(/^!?[^\0!]/, 'is not a pattern');
const patterns = z.union([pattern.transform((one) => [one]), z.array(pattern)]);
const anything = patterns.default([]);
const secretName = label;
const secrets = z.union([
  z.array(variable).transform((names) => Object.fromEntries(names.map((name) => [name, name]))),
  z.record(variable, secretName),
]);

const sessionsSchema = z.strictObject({
  idleMs: durationSchema.default(30 * MINUTE),
  longestMs: durationSchema.default(DAY),
  perPerson: z.number().int().positive().max(10_000).default(5),
  heldAtOnce: z.number().int().nonnegative().max(10_000).default(2),
  keepMs: durationSchema.default(90 * DAY),
});

const environmentShape = {
  dataDir: z.string().min(1),
  databaseUrl: z.union([secretSchema, z.strictObject({ secret: secretName })]).optional(),
  durability: z.enum(['power', 'kill']).default('power'),
  host: z.string().default('127.0.0.1'),
  port: z.number().int().min(0).max(65_535).default(8119),
  publicHosts: z.array(z.string()).default([]),
  tls: z.strictObject({ certFile: z.string(), keyFile: z.string() }).optional(),
  behindProxy: z.boolean().default(false),
  anonymous: z.enum(['none', 'viewer']).default('none'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  logFile: z.string().optional(),
  lowWaterBytes: sizeSchema.default(2e9),
  cacheBytes: sizeSchema.default(20e9),
  outputLimitBytes: sizeSchema.pipe(z.number().positive('is not more than 0')).default(4 * 2 ** 30),
  ssh: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      port: z.number().int().min(0).max(65_535).default(2222),
      orAnyPort: z.boolean().default(false),
      publicHost: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/, 'is not the name of a host')
        .optional(),
      github: z
        .record(z.string().min(1).max(100), z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?$/, 'is not a login at GitHub'))
        .default({}),
    })
    .optional(),
  sessions: sessionsSchema.default(sessionsSchema.parse({})),
};

const stepSchema = z.strictObject({
  name: parsed(parseStepName).refine((name) => name !== 'source', '"source" is the step that Croft itself makes'),
  role: z.enum(roles).default('step'),
  argv: z
    .array(text)
    .min(1, 'holds no program')
    .refine(([program]) => program !== '', 'the program has no name'),
  env: env.default({}),
  secrets: secrets.default({}),
  dir: path.default('.'),
  limitMs: durationSchema.default(60 * MINUTE),
});

const artifactSchema = z.strictObject({
  name: label,
  paths: patterns.refine((paths) => paths.length > 0 && paths.join().length <= 4_000, 'holds no pattern, or too many'),
  when: z.enum(['passed', 'failed', 'always']).default('passed'),
  required: z.boolean().default(false),
  maxBytes: sizeSchema.default(2e9),
  keepMs: durationSchema.default(30 * DAY),
});

const cacheSchema = z.strictObject({
  name: label,
  paths: z.array(path).min(1, 'holds no path'),
  key: text
    .max(200)
    .regex(/^(?:[^{}]|\{hash:[^{}]+\})*$/, 'holds a brace that is none of {hash:FILES}')
    .default(''),
  keyFiles: anything,
  fallback: z.boolean().default(false),
  maxBytes: sizeSchema.default(5e9),
});

const serviceSchema = z
  .strictObject({
    name: label,
    argv: z.array(text).min(1, 'holds no program').optional(),
    image: text.min(1).optional(),
    env: env.default({}),
    secrets: secrets.default({}),
    ready: z
      .strictObject({ argv: z.array(text).min(1, 'holds no program').optional(), withinMs: durationSchema.default(MINUTE) })
      .default({ withinMs: MINUTE }),
  })
  .refine(({ argv, image }) => (argv === undefined) !== (image === undefined), 'needs exactly one of argv and image');

const retention = { logAgeMs: 90 * DAY, logBytes: 20e9, artifactBytes: 20e9 };

const distinct = (entries: readonly { name: string }[]): boolean => new Set(entries.map((entry) => entry.name)).size === entries.length;

export const builderSchema = z.strictObject({
  name: parsed(parseBuilderName),
  repo: parsed(parseRepoName).optional(),
  repos: z.array(parsed(parseRepoName)).default([]),
  hostType: z.string().optional(),
  steps: z
    .union([z.literal('detect'), z.array(stepSchema).min(1, 'holds no step')])
    .default('detect')
    .refine((steps) => steps === 'detect' || distinct(steps), 'two steps have the same name'),
  env: env.default({}),
  secrets: secrets.default({}),
  needs: z.strictObject({ labels, cpus: z.number().positive().optional(), memoryBytes: sizeSchema.optional() }).default({ labels: [] }),
  isolation: z.enum(['none', 'container', 'vm']).default('none'),
  trust: z.enum(['trusted', 'untrusted']).default('trusted'),
  priority: z.enum(bands).default('post-submit'),
  branches: anything,
  paths: anything,
  knownIssues: z.array(z.url({ protocol: /^https?$/, error: 'is not the address of an issue' })).default([]),
  artifacts: z.array(artifactSchema).default([]).refine(distinct, 'two artifacts have the same name'),
  caches: z.array(cacheSchema).default([]).refine(distinct, 'two caches have the same name'),
  services: z.array(serviceSchema).max(20).default([]).refine(distinct, 'two services have the same name'),
  shell: z
    .strictObject({
      env: env.default({}),
      path: z.array(path).max(100).default([]),
      dir: path.optional(),
      secrets: z.boolean().default(false),
    })
    .default({ env: {}, path: [], secrets: false }),
  holdOnFailureMs: durationSchema.optional(),
  retention: z
    .strictObject({
      logAgeMs: durationSchema.default(retention.logAgeMs),
      logBytes: sizeSchema.default(retention.logBytes),
      artifactBytes: sizeSchema.default(retention.artifactBytes),
    })
    .default(retention),
  source: z
    .strictObject({ submodules: z.boolean().default(false), lfs: z.boolean().default(false) })
    .default({ submodules: false, lfs: false }),
  checkout: z
    .strictObject({
      git: z.boolean().default(true),
      depth: z.union([z.literal('full'), z.number().int().positive().max(1_000_000)]).default(1),
    })
    .default({ git: false, depth: 1 }),
});

const axisName = z.string().regex(/^[a-z][A-Za-z0-9_]{0,39}$/, 'is not the name of an axis: letters and digits, a small letter first');
const axisValue = z
  .union([z.string(), z.number()])
  .transform(String)
  .pipe(z.string().regex(/^[A-Za-z0-9._-]{1,60}$/, 'is not a value: letters, digits, dots, dashes and underscores'));

export const matrixSchema = z.strictObject({
  axes: z.record(axisName, z.union([z.array(axisValue).min(1, 'holds no value'), z.record(axisValue, z.record(z.string(), z.unknown()))])),
  except: z.array(z.record(z.string(), axisValue)).default([]),
});

export type Matrix = z.output<typeof matrixSchema>;
export type ParsedBuilder = z.output<typeof builderSchema>;

const repositorySchema = z.strictObject({
  name: parsed(parseRepoName),
  url: parsed((address) => {
    parseRepositoryUrl(address);
    return address;
  }),
  branches: anything,
  depth: z.number().int().positive().max(10_000).default(30),
  pollMs: z
    .union([z.literal('never'), durationSchema])
    .default(15 * SECOND)
    .transform((ms) => (ms === 'never' ? undefined : ms)),
  paths: anything,
  hookSecret: secretName.optional(),
});

const hostTypeSchema = z.strictObject({
  name: label.refine((name) => name !== isolatedLabel, 'is for Croft alone to give'),
  labels: machineLabels.default([]),
  tools: z.array(toolSchema).max(maxTools).default([]),
  env: env.default({}),
  owners: z.array(z.string()).default([]),
  notes: z.string().default(''),
  sshUser: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, 'is not the name of a user')
    .optional(),
});

const policySchema = z.strictObject({
  allow: z.boolean(),
  builders: anything,
  repos: anything,
  branches: anything,
  toolchainBranches: anything,
  paths: anything,
  triggers: z.array(z.enum(['branch', 'change', 'asked'])).default([]),
  tests: anything,
  why: z.string().optional(),
});

const dependentsSchema = z.strictObject({
  toolchain: parsed(parseRepoName),
  repos: z.array(parsed(parseRepoName)).min(1, 'holds no repository'),
  branches: anything,
});

const secretReferenceSchema = z
  .strictObject({ name: secretName, env: z.string().min(1).optional(), file: z.string().min(1).optional() })
  .refine(({ env: name, file }) => (name === undefined) !== (file === undefined), 'needs exactly one of env and file')
  .transform(({ name, env: from, file }) => ({ name, from: from === undefined ? { file: file ?? '' } : { env: from } }));

/** The parts of a configuration that are lists, in the order in which they are checked. */
export const listSchemas = {
  repos: repositorySchema,
  hostTypes: hostTypeSchema,
  builders: builderSchema,
  pools: poolSchema,
  policies: policySchema,
  dependents: dependentsSchema,
  secrets: secretReferenceSchema,
};
export type ListName = keyof typeof listSchemas;

const anyList = z.array(z.unknown()).default([]);
const overlay = z.strictObject({ ...environmentShape, onlyBuilders: anything }).partial();

/** All but the entries of the lists. */
export const headSchema = z.strictObject({
  ...environmentShape,
  environments: z.strictObject({ production: overlay, staging: overlay, local: overlay }).partial().default({}),
  compat: z
    .strictObject({
      goBuilderKeys: z.boolean().default(false),
      masterKeyFile: z.string().min(1).optional(),
      revokedBuilders: z.array(parsed(parseBuilderName)).default([]),
    })
    .default({ goBuilderKeys: false, revokedBuilders: [] }),
  repos: anyList,
  hostTypes: anyList,
  builders: anyList,
  pools: anyList,
  policies: anyList,
  dependents: anyList,
  secrets: anyList,
});
