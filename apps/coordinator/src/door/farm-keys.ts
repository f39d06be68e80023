/** The farm's own SSH keys: what it shows as host, and with what it signs certificates. All coordinators of a farm share them. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import ssh2 from 'ssh2';
import * as z from 'zod';
import { CroftError } from '@croft/runtime/errors';
import type { Database } from '@croft/store/database';
import { getSetting, setSetting } from '@croft/store/settings';
import { newKey, type NewKey } from './new-key.ts';
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
  const hosts = await kept(database, hostSettings, storedHosts, makeHostKeys);
  const pem = await kept(database, authoritySetting, z.string(), async () => makeAuthority());
  return {
    hosts: hosts.map(({ line, secret }) => ({ key: parseKeyLine(line).key, secret })),
    authority: { key: keyFromObject(createPublicKey(createPrivateKey(pem))), pem },
  };
}

/** What is stored, else what is made, unless another process was faster. */
async function kept<T>(database: Pick<Database, 'read' | 'write'>, name: string, schema: z.ZodType<T>, make: () => Promise<T>): Promise<T> {
  const stored = await database.read((sql) => getSetting(sql, name));
  const made = stored === undefined ? await make() : undefined;
  const present =
    stored ??
    (await database.write(async (sql) => {
      const other = await getSetting(sql, name);
      if (other === undefined) await setSetting(sql, name, made);
      return other ?? made;
    }));
  const parsed = schema.safeParse(present);
  if (parsed.success) return parsed.data;
  throw new CroftError('internal', `the setting ${name} in the database is damaged`, {
    hint: 'Restore it from a backup, or remove it: the farm then makes new keys, and its users have to accept them.',
  });
}

async function makeHostKeys(): Promise<StoredHost[]> {
  const { generateKeyPair } = ssh2.utils;
  const rsa = new Promise<NewKey>((resolve, reject) =>
    generateKeyPair('rsa', { bits: rsaBits }, (error, pair) => (error ? reject(error) : resolve(pair))),
  );
  return [newKey(), await rsa].map((pair) => ({ line: pair.public, secret: pair.private }));
}

function makeAuthority(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}
