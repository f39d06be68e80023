/** The schemas of pools, one for each kind of machine. */
import * as z from 'zod';
import { liveness } from '@croft/domain/lease';
import { durationSchema, sizeSchema } from './quantities.ts';
import { machineLabels, text } from './schema-parts.ts';

/** What processes on this machine are. */
export const ownHostType = `host-${process.platform}-${process.arch}`;
/** What containers on this machine are: Linux, whatever this is. */
export const ownContainerType = `host-container-${process.arch}`;
/** Host types that need not be written down. */
export const ownHostTypes: readonly string[] = [ownHostType, ownContainerType];

const poolName = z.string().regex(/^[a-z][a-z0-9]{0,19}$/, 'is not a pool name: at most 20 small letters and digits, a letter first');
const size = z.number().int().nonnegative().max(1000).default(1);
const forSessions = z.number().int().nonnegative().max(1000).default(0);
const orphanedMs = durationSchema.default(liveness.orphanedMs);
const absolutePath = text.regex(/^\/(?!(?:.*\/)?\.\.(?:\/|$))[^:]*$/, 'is not an absolute path without ".." and colons');

const localSchema = z.strictObject({
  kind: z.literal('local'),
  name: poolName.default('local'),
  size,
  forSessions,
  hostType: z.string().default(ownHostType),
  labels: machineLabels.default([process.platform, process.arch]),
  orphanedMs,
});

const mountSchema = z.strictObject({
  source: absolutePath,
  target: absolutePath.refine((path) => !/^\/(?:croft(?:\/.*)?)?$/.test(path), 'is where Croft has its own files'),
  writable: z.boolean().default(false),
});

const dockerSchema = z.strictObject({
  kind: z.literal('docker'),
  name: poolName.default('docker'),
  size,
  forSessions,
  hostType: z.string().default(ownContainerType),
  labels: machineLabels.default(['linux', process.arch]),
  orphanedMs,
  image: text.min(1, 'is empty').max(300),
  socketPath: absolutePath.default('/var/run/docker.sock'),
  network: text.regex(/^(?!host$|container:)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, 'is no network of containers').default('none'),
  mounts: z.array(mountSchema).max(50).default([]),
  user: z
    .string()
    .regex(/^[0-9]{1,9}:[0-9]{1,9}$/, 'is not UID:GID, both as numbers')
    .optional(),
  cpus: z.number().positive('is not more than 0').optional(),
  memoryBytes: sizeSchema.pipe(z.number().min(64e6, 'is less than the 64 MB that a machine itself needs')).optional(),
  processes: z.number().int().min(50).max(1_000_000).default(4096),
  treeBytesInMemory: sizeSchema.pipe(z.number().positive('is not more than 0')).optional(),
  readOnly: z.boolean().default(false),
});

const reverseSchema = z.strictObject({
  kind: z.literal('reverse'),
  name: poolName.default('reverse'),
  hostType: z.string(),
  labels: machineLabels.default([]),
  expect: z.number().int().nonnegative().max(20_000).default(0),
});

export const poolSchemas = { local: localSchema, docker: dockerSchema, reverse: reverseSchema };
export const poolSchema = z.discriminatedUnion('kind', [localSchema, dockerSchema, reverseSchema]);
