/** Every setting of the buildlet: Go's flags where they exist (buildlet.md 1.13), one dash or two, and our own. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { MINUTE } from '@croft/runtime/clock';
import { parseConfig, secretSchema } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';
import * as z from 'zod';
import type { ListenAddress } from './http/listener.ts';

const MiB = 1024 * 1024;
const number = (least: number): z.ZodCoercedNumber => z.coerce.number().int().min(least);
/** Go's spelling of truth; a flag alone is true. */
const flag = z.string().transform((value) => ['', '1', 't', 'T', 'TRUE', 'true', 'True'].includes(value));

const configSchema = z
  .strictObject({
    /** The directory that requests work in; made when missing. */
    workdir: z
      .string()
      .min(1)
      .default(join(homedir(), '.croft', 'buildlet', 'work')),
    /** Where runs, spools and the epoch are kept; beside the work directory by default. One buildlet for each. */
    'state-dir': z.string().min(1).optional(),
    /** `unix:/path` or `host:port`; `AUTO` is 127.0.0.1:5936. */
    listen: z.string().default('AUTO').transform(parseListen),
    /** Allow an address other than loopback without TLS, and no password. */
    'insecure-listen': flag.default(false),
    /** `/halt` switches the machine off. */
    halt: flag.default(false),
    /** Without a sign of life for this long it ends its commands and itself, ms. */
    'orphaned-after': number(1).default(30 * MINUTE),
    /** Unacknowledged output of a run above which its command waits, bytes. */
    'spool-limit': number(1).default(1024 * MiB),
    /** Free disk space below which nothing new is taken, bytes. */
    'low-water': number(0).default(512 * MiB),
    /** A file to log to; stderr when absent. */
    'log-file': z.string().min(1).optional(),
    'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    /** Print the version and end. */
    version: flag.default(false),
    /** From META_password or META_PASSWORD; `@file` reads a file. */
    password: secretSchema.optional(),
  })
  .transform(({ workdir, ...rest }) => ({
    workDir: resolve(workdir),
    stateDir: resolve(rest['state-dir'] ?? `${resolve(workdir)}.state`),
    listen: rest.listen,
    insecureListen: rest['insecure-listen'],
    halt: rest.halt,
    orphanedAfterMs: rest['orphaned-after'],
    spoolLimitBytes: rest['spool-limit'],
    lowWaterBytes: rest['low-water'],
    log: { file: rest['log-file'], level: rest['log-level'] },
    version: rest.version,
    password: rest.password,
  }));
export type Config = z.output<typeof configSchema>;

const passwordVariables = ['META_password', 'META_PASSWORD'] as const;

/**
 * Takes the password out of `env`, so that no program we start inherits it.
 * @throws CroftError `invalid` that lists every mistake
 */
export function readConfig(args: readonly string[], env: NodeJS.ProcessEnv): Config {
  const password = passwordVariables.map((name) => env[name]).find(Boolean);
  for (const name of passwordVariables) delete env[name];
  const input = { ...parseFlags(args), ...(password === undefined ? {} : { password: fileOrText(password) }) };
  const config = parseConfig(configSchema, input, 'buildlet settings');
  if (!config.password && !config.insecureListen && !config.version) {
    throw new CroftError('invalid', 'buildlet settings: there is no password', {
      hint: 'Set META_password, or META_password=@FILE to read it from a file.',
    });
  }
  return config;
}

const booleans = new Set(['halt', 'version', 'insecure-listen']);

function parseFlags(args: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let index = 0; index < args.length; index += 1) {
    const [, name, value] = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(args[index] ?? '') ?? [];
    if (name === undefined || name === 'password') throw new CroftError('invalid', `buildlet settings: "${args[index]}" is not a flag`);
    flags[name] = value ?? (booleans.has(name) ? 'true' : (args[(index += 1)] ?? ''));
  }
  return flags;
}

function parseListen(text: string, context: z.RefinementCtx): ListenAddress {
  if (text === 'AUTO') return { kind: 'tcp', host: '127.0.0.1', port: 5936 };
  if (/^unix:\/./.test(text)) return { kind: 'unix', path: text.slice('unix:'.length) };
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  if (port !== '' && Number(port) <= 65_535)
    return { kind: 'tcp', host: host.replace(/^\[(.*)\]$/, '$1') || '0.0.0.0', port: Number(port) };
  context.addIssue({ code: 'custom', message: 'is neither unix:/path nor host:port' });
  return z.NEVER;
}

function fileOrText(password: string): string {
  if (!password.startsWith('@')) return password;
  try {
    return readFileSync(password.slice(1), 'utf8').trim();
  } catch (cause) {
    throw new CroftError('invalid', `read the password from ${password.slice(1)}`, { cause });
  }
}
