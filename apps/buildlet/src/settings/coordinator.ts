/** What reverse mode needs to know: which coordinator, how it is trusted, and what this machine shows it. buildlet.md 1.15. */
import { createHmac } from 'node:crypto';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { Secret } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';
import { isLoopback, parseHostPort } from './addresses.ts';
import { isTrue } from './flags.ts';
import { descriptorOf, readGiven } from './given.ts';

export interface ReverseSettings {
  readonly hostType: string;
  readonly coordinator: { readonly host: string; readonly port: number };
  readonly hostName: string;
  readonly key: Secret;
  /** PEM: who may have signed the coordinator's certificate, instead of those whom the system trusts. */
  readonly ca?: string | undefined;
  /** Whoever answers is taken for the coordinator: on loopback only. */
  readonly insecureDev: boolean;
  /** A lost line is dialled again; otherwise the buildlet ends. */
  readonly reconnect: boolean;
  readonly proxies: { readonly https?: string | undefined; readonly none?: string | undefined };
}

export interface ReverseFlags {
  readonly hostType: string;
  readonly coordinator: string;
  readonly hostName: string | undefined;
  readonly caFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly insecureDev: boolean;
  readonly reconnect: boolean;
}

/** Go's coordinator answers at its name alone; every other one says its port, or has 443, too. */
const defaultPort = 443;
/** What may stand in a header and in a name of a key file. */
const headerText = /^[\x21-\x7e]{1,1000}$/;
const typeText = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** Reads the key and, where it was asked for, removes its file. @throws CroftError `invalid` */
export function reverseSettings(flags: ReverseFlags, env: NodeJS.ProcessEnv): ReverseSettings {
  const { hostType, insecureDev, reconnect } = flags;
  if (!typeText.test(hostType)) throw wrong(`-reverse-type "${hostType}" is not a host type`);
  const coordinator = /:\d+$/.test(flags.coordinator)
    ? parseHostPort(flags.coordinator)
    : parseHostPort(`${flags.coordinator}:${defaultPort}`);
  if (!coordinator?.host) throw wrong(`-coordinator "${flags.coordinator}" is not host:port`);
  if (insecureDev && !isLoopback(coordinator.host)) {
    throw wrong('--insecure-dev is for a coordinator on this machine', 'Give --coordinator-ca FILE to trust a certificate of your own.');
  }
  const hostName = flags.hostName || env['HOSTNAME'] || hostname() || 'buildlet';
  if (!headerText.test(hostName)) throw wrong(`"${hostName}" is not a host name: give -hostname`);
  return {
    hostType,
    coordinator,
    hostName,
    key: new Secret(buildKey(flags, env)),
    ca: flags.caFile === undefined ? undefined : readPem(flags.caFile),
    insecureDev,
    reconnect,
    proxies: { https: env['HTTPS_PROXY'] || env['https_proxy'], none: env['NO_PROXY'] || env['no_proxy'] },
  };
}

/** Go's development coordinators take this key, which everybody knows. */
const publicMasterKey = 'gophers rule';

function buildKey({ hostType, keyFile, insecureDev }: ReverseFlags, env: NodeJS.ProcessEnv): string {
  const given = keyFile ?? env['GO_BUILD_KEY_PATH'];
  if (!given && insecureDev) return createHmac('md5', publicMasterKey).update(hostType).digest('hex');
  const path = given || join(env['HOME'] || homedir(), `.gobuildkey-${hostType}`);
  let key: string;
  try {
    if (keyFile !== undefined && isOpenToOthers(path)) throw new Error(`others can read it: chmod 600 ${path}`);
    key = readGiven(path);
  } catch (error) {
    throw wrong(`read the key of ${hostType} from ${path}: ${errorText(error)}`, 'A coordinator makes one; give it with --key-file FILE.');
  }
  if (isTrue(env['GO_BUILD_KEY_DELETE_AFTER_READ']) && descriptorOf(path) === undefined) rmSync(path, { force: true });
  if (!headerText.test(key)) throw wrong(`the key of ${hostType} in ${path} is empty or not one line of text`);
  return key;
}

function isOpenToOthers(path: string): boolean {
  return descriptorOf(path) === undefined && (statSync(path).mode & 0o077) !== 0;
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw wrong(`read the certificates of --coordinator-ca: ${errorText(error)}`);
  }
}

function wrong(what: string, hint?: string): CroftError {
  return new CroftError('invalid', `buildlet settings: ${what}`, { hint });
}
