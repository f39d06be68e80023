/** Every setting of the buildlet: Go's flags where they exist (buildlet.md 1.13), one dash or two, and our own. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { MINUTE, type Clock } from '@croft/runtime/clock';
import { parseConfig, secretSchema } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';
import * as z from 'zod';
import { parsedAs, parseListen, type ListenAddress } from './settings/addresses.ts';
import { isTrue, parseFlags } from './settings/flags.ts';
import { readMetadata, type Cloud, type Metadata } from './settings/metadata.ts';

const MiB = 1024 * 1024;
const number = (least: number): z.ZodCoercedNumber => z.coerce.number().int().min(least);
const flag = z.string().transform(isTrue);
const auto = 'AUTO';
const listenSchema = z
  .string()
  .default(auto)
  .transform(parsedAs((text) => (text === auto ? auto : parseListen(text, '0.0.0.0')), 'is neither unix:/path nor host:port'));
const cloudSchema = z.enum(['auto', 'gce', 'ec2', 'none']).default('auto');

const configSchema = z
  .strictObject({
    /** The directory that requests work in; made when missing. */
    workdir: z
      .string()
      .min(1)
      .default(join(homedir(), '.croft', 'buildlet', 'work')),
    /** Where runs, spools and the epoch are kept; beside the work directory by default. One buildlet for each. */
    'state-dir': z.string().min(1).optional(),
    /** `unix:/path` or `host:port`; `AUTO` is 127.0.0.1:5936, on a machine of a cloud port 443 of every address, or 80 without TLS. */
    listen: listenSchema,
    /** Allow an address other than loopback without TLS, and no password. */
    'insecure-listen': flag.default(false),
    /** Where password, certificate and key are asked for when the environment has none: told by the firmware, or one of these. */
    cloud: cloudSchema,
    /** `/halt` switches the machine off. */
    halt: flag.default(false),
    /** `/halt` starts the machine anew. */
    reboot: flag.default(false),
    /** The port of the machine's SSH server on loopback. */
    'ssh-port': number(1).max(65_535).default(22),
    /** Without a sign of life for this long it ends its commands and itself, ms. */
    'orphaned-after': number(1).default(30 * MINUTE),
    /** Unacknowledged output of a run above which its command waits, bytes. */
    'spool-limit': number(1).default(1024 * MiB),
    /** Free disk space below which nothing new is taken, bytes. */
    'low-water': number(0).default(512 * MiB),
    /** `auto` starts commands with posix_spawn where that works; `fifo` does not try. */
    start: z.enum(['auto', 'fifo']).default('auto'),
    /** A file to log to; stderr when absent. */
    'log-file': z.string().min(1).optional(),
    'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    /** Print the version and end. */
    version: flag.default(false),
    /** Metadata `password`. */
    password: secretSchema.optional(),
    /** Metadata `tls-cert` and `tls-key`, PEM: both or neither. */
    tlsCert: z.string().min(1).optional(),
    tlsKey: secretSchema.optional(),
    /** What kind of machine the system says that this is, where that decides (`GO_BUILDER_ENV`). */
    builderEnv: z.string().optional(),
    /** The cloud that was found. */
    foundCloud: z.enum(['gce', 'ec2', 'none']),
  })
  .transform(({ workdir, ...rest }) => ({
    workDir: resolve(workdir),
    stateDir: resolve(rest['state-dir'] ?? `${resolve(workdir)}.state`),
    listen: rest.listen === auto ? autoAddress(rest.foundCloud, rest.tlsCert !== undefined) : rest.listen,
    insecureListen: rest['insecure-listen'],
    power: { halt: rest.halt, reboot: rest.reboot, builderEnv: rest.builderEnv },
    sshPort: rest['ssh-port'],
    orphanedAfterMs: rest['orphaned-after'],
    spoolLimitBytes: rest['spool-limit'],
    lowWaterBytes: rest['low-water'],
    start: rest.start,
    log: { file: rest['log-file'], level: rest['log-level'] },
    version: rest.version,
    password: rest.password,
    tls: rest.tlsCert && rest.tlsKey ? { cert: rest.tlsCert, key: rest.tlsKey } : undefined,
  }));
export type Config = z.output<typeof configSchema>;

/**
 * Takes password and key out of `env`, so that no program we start inherits them.
 * @throws CroftError `invalid` that lists every mistake
 */
export async function readConfig(args: readonly string[], env: NodeJS.ProcessEnv, { clock }: { clock: Clock }): Promise<Config> {
  const flags = parseFlags(args);
  const cloud = parseConfig(cloudSchema, flags['cloud'], 'buildlet settings: --cloud');
  const metadata = await readMetadata(env, isTrue(flags['version']) ? 'none' : cloud, clock);
  const config = parseConfig(
    configSchema,
    { ...flags, ...ofMetadata(metadata, flags), builderEnv: env['GO_BUILDER_ENV'] },
    'buildlet settings',
  );
  if (!config.password && !config.insecureListen && !config.version) {
    throw new CroftError('invalid', 'buildlet settings: there is no password', {
      hint: 'Set META_password, or META_password=@FILE to read it from a file.',
    });
  }
  return config;
}

/** @throws CroftError `invalid` for half of a pair, and for what may be no flag because every process could read it */
function ofMetadata({ password, tlsCert, tlsKey, cloud }: Metadata, flags: Readonly<Record<string, string>>): Record<string, string> {
  if ('password' in flags) throw new CroftError('invalid', 'buildlet settings: "-password" is not a flag');
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CroftError('invalid', 'tls-cert and tls-key must both be supplied, or neither.');
  }
  const given = Object.entries({ password, tlsCert, tlsKey }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { ...Object.fromEntries(given), foundCloud: cloud };
}

function autoAddress(cloud: Cloud, hasTls: boolean): ListenAddress {
  if (cloud === 'none') return { kind: 'tcp', host: '127.0.0.1', port: 5936 };
  return { kind: 'tcp', host: '0.0.0.0', port: hasTls ? 443 : 80 };
}
