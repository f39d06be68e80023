/** Whose key it is. A person is the name of a token, or the local user; a key counts for as long as its person does. */
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { roleNames, type RoleName } from '@croft/protocol/api';
import type { SshKeyRequest, SshKeyView } from '@croft/protocol/ssh';
import type { Database } from '@croft/store/database';
import { insertSshKey, removeSshKey, sshKeysByFingerprint, sshKeysOf, touchSshKey } from '@croft/store/ssh-keys';
import { listTokens, type Token } from '@croft/store/tokens';
import type { GithubKeys } from './github-keys.ts';
import { parseKeyLine, type PublicKey } from './public-key.ts';

export interface KnownPerson {
  readonly name: string;
  readonly role: RoleName;
  readonly repos: readonly string[];
}

export interface People {
  /** Keys that a person has added, newest first. */
  keysOf(person: string): Promise<SshKeyView[]>;
  /** Adding one again is no change. @throws CroftError `invalid` for what is no key, `exhausted` beyond the limit */
  add(person: string, request: SshKeyRequest): Promise<SshKeyView>;
  /** @throws CroftError `not-found` for one that this person does not have */
  remove(person: string, id: string): Promise<SshKeyView>;
  /** All whose key it is: anybody may add anybody's public key, so it may be several. */
  withKey(key: PublicKey): Promise<KnownPerson[]>;
  /** Undefined when nobody is called so any more: their tokens have expired or were revoked. */
  named(name: string): Promise<KnownPerson | undefined>;
  /** Those of the names that nobody has here now. */
  strangers(names: readonly string[]): Promise<string[]>;
  /** Notes that somebody came in by it. */
  used(person: string, key: PublicKey): Promise<void>;
}

export interface PeopleDeps {
  readonly database: Pick<Database, 'read' | 'write'>;
  readonly github: GithubKeys;
  /** The user who runs the farm is somebody, called `local`. */
  readonly trustLocalUser: boolean;
  readonly clock: Clock;
  readonly random: Random;
}

const maxKeys = 50;
const localPerson: KnownPerson = { name: 'local', role: 'admin', repos: [] };

export function createPeople({ database, github, trustLocalUser, clock, random }: PeopleDeps): People {
  const among = (tokens: readonly Token[], name: string): KnownPerson | undefined => {
    if (name === localPerson.name && trustLocalUser) return localPerson;
    return personOf(name, tokens, clock.now()) ?? (github.isNamed(name) ? { name, role: 'developer', repos: [] } : undefined);
  };
  const named = async (name: string): Promise<KnownPerson | undefined> => among(await database.read(listTokens), name);
  const keysOf: People['keysOf'] = (person) => database.read((sql) => sshKeysOf(sql, person));
  return {
    keysOf,
    async add(person, { name, key: line }) {
      const { key, comment } = parseKeyLine(line);
      const { type, fingerprint } = key;
      const blob = key.blob.toString('base64');
      const added = { id: `H${random.hex(6)}`, name: name || comment || type, type, fingerprint, addedAt: clock.now() };
      return database.write(async (sql) => {
        const present = await sshKeysOf(sql, person);
        const same = present.find((one) => one.fingerprint === fingerprint);
        if (same) return same;
        if (present.length >= maxKeys)
          throw new CroftError('exhausted', `${person} has ${maxKeys} keys, which is as many as one person may have`);
        await insertSshKey(sql, { ...added, person, blob });
        return added;
      });
    },
    async remove(person, id) {
      return database.write(async (sql) => {
        const found = (await sshKeysOf(sql, person)).find((key) => key.id === id);
        if (!found) throw new CroftError('not-found', `there is no key ${id} of yours`);
        await removeSshKey(sql, { person, id });
        return found;
      });
    },
    async withKey(key) {
      const stored = await database.read((sql) => sshKeysByFingerprint(sql, key.fingerprint));
      const blob = key.blob.toString('base64');
      const names = stored.filter((one) => one.blob === blob).map(({ person }) => person);
      const found = await Promise.all([...new Set([...names, ...(await github.withKey(key))])].map(named));
      return found.filter((person) => person !== undefined);
    },
    named,
    async strangers(names) {
      if (names.length === 0) return [];
      const tokens = await database.read(listTokens);
      return names.filter((name) => !among(tokens, name));
    },
    used: (person, { fingerprint }) => database.write((sql) => touchSshKey(sql, { person, fingerprint, at: clock.now() })),
  };
}

/** With the highest role that one of their tokens gives now, and as far as that one reaches. */
function personOf(name: string, tokens: readonly Token[], now: number): KnownPerson | undefined {
  const live = tokens.filter(
    (token) => token.name === name && token.revokedAt === undefined && (token.expiresAt ?? Number.MAX_SAFE_INTEGER) > now,
  );
  const [best] = live.toSorted((a, b) => roleNames.indexOf(b.role) - roleNames.indexOf(a.role));
  return best && { name, role: best.role, repos: best.scopes };
}
