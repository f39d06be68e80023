/** The farm's own SSH keys: what it shows as host, and with what it signs certificates. All coordinators of a farm share them. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import ssh2 from 'ssh2';
import * as z from 'zod';
import { CroftError } from '@croft/runtime/errors';
import type { Database } from '@croft/store/database';
import { getSetting, setSetting } from '@croft/store/settings';
import { newKey, withZeros, type NewKey } from './new-key.ts';
import { keyFromObject, parseKeyLine, type PublicKey } from './public-key.ts';

export interface FarmKeys {
  readonly hosts: readonly HostKey[];
  /** Signs certificates and nothing else. */
  readonly authority: { readonly key: PublicKey; readonly pem: string };
}

export interface HostKey {
  readonly key: PublicKey;
  /** As OpenSSH keeps it. */
  readonly secret: string;
}

const hostSettings = 'ssh-host-keys';
const authoritySetting = 'ssh-authority';
const rsaBits = 3_072;
const storedHost = z.object({ line: z.string(), secret: z.string() });
const storedHosts = z.array(storedHost).min(1);
type StoredHost = z.output<typeof storedHost>;

/** Makes them at the first call. Whoever can read them can read the tokens' hashes and the farm's configuration beside them. */
export async function openFarmKeys(database: Pick<Database, 'read' | 'write'>): Promise<FarmKeys> {
  return {
    hosts: await kept(database, hostSettings, { make: makeHostKeys, schema: storedHosts, read: (hosts) => hosts.map(readHost) }),
    authority: await kept(database, authoritySetting, { make: makeAuthority, schema: z.string(), read: readAuthority }),
  };
}

interface Kind<S, T> {
  make(): Promise<S>;
  readonly schema: z.ZodType<S>;
  read(stored: S): T;
}

/** What is stored, else what is made, unless another process was faster. */
async function kept<S, T>(database: Pick<Database, 'read' | 'write'>, name: string, { make, schema, read }: Kind<S, T>): Promise<T> {
  const stored = await database.read((sql) => getSetting(sql, name));
  const made = stored === undefined ? await make() : undefined;
  const present =
    stored ??
    (await database.write(async (sql) => {
      const other = await getSetting(sql, name);
      if (other === undefined) await setSetting(sql, name, made);
      return other ?? made;
    }));
  try {
    const parsed = schema.safeParse(present);
    if (!parsed.success) throw new CroftError('invalid', z.prettifyError(parsed.error));
    return read(parsed.data);
  } catch (cause) {
    throw new CroftError('internal', `the setting ${name} in the database is damaged`, {
      cause,
      hint: 'Restore the database from a backup, or remove that row of its table settings: the farm then makes new keys, and its users have to accept them.',
    });
  }
}

function readHost({ line, secret }: StoredHost): HostKey {
  const parsed = ssh2.utils.parseKey(secret);
  if (!(parsed instanceof Error)) return { key: parseKeyLine(line).key, secret };
  if (!line.startsWith('ssh-ed25519 ')) throw parsed;
  const whole = withZeros(secret);
  return { key: parseKeyLine(whole.public).key, secret: whole.private };
}

function readAuthority(pem: string): FarmKeys['authority'] {
  return { key: keyFromObject(createPublicKey(createPrivateKey(pem))), pem };
}

async function makeHostKeys(): Promise<StoredHost[]> {
  const { generateKeyPair } = ssh2.utils;
  const rsa = new Promise<NewKey>((resolve, reject) =>
    generateKeyPair('rsa', { bits: rsaBits }, (error, pair) => (error ? reject(error) : resolve(pair))),
  );
  return [newKey(), await rsa].map((pair) => ({ line: pair.public, secret: pair.private }));
}

async function makeAuthority(): Promise<string> {
  return generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}
