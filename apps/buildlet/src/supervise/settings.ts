/** Every setting of the supervisor: flags before `--`, and after it the buildlet's own, which are passed on unread. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { MINUTE } from '@croft/runtime/clock';
import { parseConfig } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { LogLevel } from '@croft/runtime/log';
import * as z from 'zod';
import type { Trust } from '../reverse/dial.ts';
import type { SuperviseOptions } from './supervise.ts';

const ms = z.coerce.number().int().min(1);

const settingsSchema = z.strictObject({
  /** The farm, `https://farm.example:8443`; what it offers lies below `/dist/buildlet/`. */
  from: z.string().transform(parseFrom),
  /** A file with the only authority whose certificates count, PEM; the system's when absent. */
  ca: z.string().min(1).optional(),
  /** Holds the versions; the buildlet's own directories are named to it. */
  dir: z
    .string()
    .min(1)
    .default(join(homedir(), '.croft', 'buildlet'))
    .transform((dir) => resolve(dir)),
  /** From one look for a new version to the next, ms. */
  'look-every': ms.default(MINUTE),
  /** In which a new version must be ready while the farm answers, ms. */
  'ready-within': ms.default(MINUTE),
  /** For which a new version must live, ms. */
  'proven-after': ms.default(MINUTE),
  'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  /** Print which protocol of distribution it speaks, and end. */
  version: z.boolean().default(false),
});

export interface Settings {
  /** Where the manifest lies, with a slash at the end. */
  readonly from: URL;
  readonly ca: string | undefined;
  readonly proxies: Trust['proxies'];
  readonly dir: string;
  readonly pace: Omit<SuperviseOptions, 'args' | 'key'>;
  readonly logLevel: LogLevel;
  readonly version: boolean;
  /** The buildlet's. */
  readonly args: readonly string[];
}

const options = Object.fromEntries(
  Object.keys(settingsSchema.shape).map((name) => [name, { type: name === 'version' ? ('boolean' as const) : ('string' as const) }]),
);

/** @throws CroftError `invalid` that lists every mistake */
export function readSettings(all: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const cut = all.includes('--') ? all.indexOf('--') : all.length;
  const given = readFlags(all.slice(0, cut));
  const { from, ca, dir, version, ...rest } = parseConfig(
    settingsSchema,
    given['version'] === true ? { from: 'https://nowhere.invalid', ...given } : given,
    'supervisor settings',
  );
  return {
    from,
    ca: ca === undefined ? undefined : readCa(ca),
    proxies: { https: env['HTTPS_PROXY'] || env['https_proxy'], none: env['NO_PROXY'] || env['no_proxy'] },
    dir,
    pace: { lookEveryMs: rest['look-every'], readyWithinMs: rest['ready-within'], provenAfterMs: rest['proven-after'] },
    logLevel: rest['log-level'],
    version,
    args: all.slice(cut + 1),
  };
}

function readFlags(args: readonly string[]): Record<string, unknown> {
  try {
    return { ...parseArgs({ args: [...args], options }).values };
  } catch (cause) {
    throw new CroftError('invalid', `supervisor settings: ${errorText(cause)}`, { cause });
  }
}

/** What comes without TLS could be anybody's program: only on the same machine that is nobody else's. */
function parseFrom(text: string, context: z.RefinementCtx): URL {
  const url = URL.parse('/dist/buildlet/', text);
  const onLoopback = url !== null && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && onLoopback)) return url;
  context.addIssue({ code: 'custom', message: 'is no address that begins with https:// (http:// counts on loopback only)' });
  return z.NEVER;
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CroftError('invalid', `supervisor settings: read the authority from ${path}`, { cause });
  }
}
