/** Every setting of the buildlet: Go's flags where they exist (buildlet.md 1.13), one dash or two, and our own. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { parseConfig, secretSchema } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';
import * as z from 'zod';
import { parsedAs, parseListen, type ListenAddress } from './settings/addresses.ts';
import { reverseSettings, type ReverseSettings } from './settings/coordinator.ts';
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
    workdir: z.string().min(1).optional(),
    /** Where runs, spools and the epoch are kept; beside the work directory by default. One buildlet for each. */
    'state-dir': z.string().min(1).optional(),
    /** `unix:/path` or `host:port`; `AUTO` is 127.0.0.1:5936, on a machine of a cloud port 443 of every address, or 80 without TLS. */
    listen: listenSchema,
    /** Allow an address other than loopback without TLS, and no password. */
    'insecure-listen': flag.default(false),
    /** Where password, certificate and key are asked for when the environment has none: told by the firmware, or one of these. */
    cloud: cloudSchema,
    /** A kind of machine, as the coordinator knows it: nothing is listened to, the coordinator is dialled. */
    'reverse-type': z.string().default(''),
    /** `host:port` of the coordinator; port 443 when it says none. */
    coordinator: z.string().default('localhost:8119'),
    /** What the coordinator calls this machine; $HOSTNAME, else the system's name. */
    hostname: z.string().optional(),
    /** PEM: whose certificates the coordinator may show, instead of those that the system trusts. */
    'coordinator-ca': z.string().min(1).optional(),
    /** This machine's key for its host type, a file that nobody else can read; else $GO_BUILD_KEY_PATH, else ~/.gobuildkey-TYPE. */
    'key-file': z.string().min(1).optional(),
    /** Take whoever answers on loopback for the coordinator, and show it the key that everybody knows. */
    'insecure-dev': flag.default(false),
    /** Dial a coordinator again that was lost; without it the buildlet ends, as Go's does. */
    reconnect: flag.default(true),
    /** In reverse mode, where `/healthz` is served; no host is loopback. */
    'health-addr': z
      .string()
      .transform(parsedAs((text) => parseListen(text, '127.0.0.1'), 'is neither unix:/path nor host:port'))
      .optional(),
    /** `/halt` switches the machine off. */
    halt: flag.default(false),
    /** `/halt` starts the machine anew. */
    reboot: flag.default(false),
    /** The port of the machine's SSH server on loopback: 22, or 2200 where the buildlet starts it. */
    'ssh-port': number(1).max(65_535).optional(),
    /** Without a sign of life for this long it ends its commands and itself, ms. */
    'orphaned-after': number(1).default(30 * MINUTE),
    /** Asked to end for an update, it waits until nobody has asked for anything for this long, ms. */
    'drain-after': number(1).default(10 * SECOND),
    /** Unacknowledged output of a run above which its command waits, bytes. */
    'spool-limit': number(1).default(1024 * MiB),
    /** Free disk space below which nothing new is taken, bytes. */
    'low-water': number(0).default(512 * MiB),
    /** `auto` starts commands with posix_spawn where that works; `fifo` does not try. */
    start: z.enum(['auto', 'fifo']).default('auto'),
    /** `pty.node` of @lydell/node-pty 1.1.0 for this system; else one beside the program, else the installed package. */
    'pty-module': z.string().min(1).optional(),
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
    workDir: workDirOf(workdir, rest['reverse-type']),
    stateDir: resolve(rest['state-dir'] ?? `${workDirOf(workdir, rest['reverse-type'])}.state`),
    listen: rest.listen === auto ? autoAddress(rest.foundCloud, rest.tlsCert !== undefined) : rest.listen,
    insecureListen: rest['insecure-listen'],
    reverseFlags: {
      hostType: rest['reverse-type'],
      coordinator: rest.coordinator,
      hostName: rest.hostname,
      caFile: rest['coordinator-ca'],
      keyFile: rest['key-file'],
      insecureDev: rest['insecure-dev'],
      reconnect: rest.reconnect,
    },
    healthAddress: rest['health-addr'],
    power: { halt: rest.halt, reboot: rest.reboot, builderEnv: rest.builderEnv },
    sshPort: rest['ssh-port'],
    orphanedAfterMs: rest['orphaned-after'],
    drainAfterMs: rest['drain-after'],
    spoolLimitBytes: rest['spool-limit'],
    lowWaterBytes: rest['low-water'],
    start: rest.start,
    ptyModule: rest['pty-module'],
    log: { file: rest['log-file'], level: rest['log-level'] },
    version: rest.version,
    password: rest.password,
    tls: rest.tlsCert && rest.tlsKey ? { cert: rest.tlsCert, key: rest.tlsKey } : undefined,
  }));
export interface Config extends Omit<z.output<typeof configSchema>, 'reverseFlags'> {
  /** Undefined in listen mode. */
  readonly reverse: ReverseSettings | undefined;
}

/**
 * Takes password and key out of `env`, so that no program we start inherits them.
 * @throws CroftError `invalid` that lists every mistake
 */
export async function readConfig(args: readonly string[], env: NodeJS.ProcessEnv, { clock }: { clock: Clock }): Promise<Config> {
  const flags = parseFlags(args);
  const asked = parseConfig(cloudSchema, flags['cloud'], 'buildlet settings: --cloud');
  const needsNone = isTrue(flags['version']) || Boolean(flags['reverse-type']);
  const metadata = await readMetadata(env, needsNone ? 'none' : asked, clock);
  const given = { ...flags, ...ofMetadata(metadata, flags), builderEnv: env['GO_BUILDER_ENV'] };
  const { reverseFlags, ...config } = parseConfig(configSchema, given, 'buildlet settings');
  const reverse = reverseFlags.hostType === '' || config.version ? undefined : reverseSettings(reverseFlags, env);
  if (!config.password && !config.insecureListen && !config.version && !reverse) {
    throw new CroftError('invalid', 'buildlet settings: there is no password', {
      hint: 'Set META_password, or META_password=@FILE to read it from a file.',
    });
  }
  return { ...config, reverse };
}

/** Each kind of machine has its own, so that one machine may serve as several. */
function workDirOf(given: string | undefined, hostType: string): string {
  return resolve(given ?? join(homedir(), '.croft', 'buildlet', hostType === '' ? 'work' : `work-${hostType}`));
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
