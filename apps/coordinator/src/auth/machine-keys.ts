/** Keys of machines that dial in: made here, shown once, kept as hashes; each lets in machines of one host type. */
import type { KeyView } from '@croft/protocol/machines';
import type { BodyOf } from '@croft/protocol/operations';
import { HOUR, type Clock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import { insertMachineKey, listMachineKeys, machineKeyByHash, revokeMachineKey, touchMachineKey } from '@croft/store/machine-keys';

export interface MachineKeys {
  /** The secret is in the answer and nowhere else. */
  create(request: BodyOf<'key.create'>): Promise<KeyView & { secret: string }>;
  list(): Promise<KeyView[]>;
  /** Lines that are up stay. Revoking again is no change. @throws CroftError `not-found` */
  revoke(id: string): Promise<KeyView>;
  /** Whether this key lets in machines of this host type now. */
  lets(secret: string, hostType: string): Promise<boolean>;
}

export interface MachineKeysDeps {
  readonly database: Pick<Database, 'read' | 'write'>;
  readonly clock: Clock;
  readonly random: Random;
}

/** The use of a key is noted this often, ms: a farm's worth of machines comes back with one key at once. */
const notedMs = HOUR;
/** Keys remembered at a time; more than one for each kind of machine is rare. */
const maxKnown = 1_000;
const prefix = 'croftkey_';

export function createMachineKeys({ database, clock, random }: MachineKeysDeps): MachineKeys {
  const list = (): Promise<KeyView[]> => database.read(listMachineKeys);
  const find = rememberKeys(database);
  return {
    async create({ name, hostType, expiresInMs }) {
      const now = clock.now();
      const secret = `${prefix}${random.hex(24)}`;
      const key = { id: `K${random.hex(6)}`, name, hostType, createdAt: now, expiresAt: now + expiresInMs };
      await database.write((sql) => insertMachineKey(sql, { ...key, hash: sha256Hex(secret) }));
      return { ...key, secret };
    },
    list,
    async revoke(id) {
      await database.write((sql) => revokeMachineKey(sql, id, clock.now()));
      find.forget();
      const revoked = (await list()).find((key) => key.id === id);
      if (!revoked) throw new CroftError('not-found', `there is no key ${id}`);
      return revoked;
    },
    async lets(secret, hostType) {
      if (!secret.startsWith(prefix)) return false;
      // Found by its hash: how long that takes tells nothing of the keys there are.
      const key = await find.byHash(sha256Hex(secret));
      const now = clock.now();
      if (!key || key.hostType !== hostType || key.revokedAt !== undefined || key.expiresAt <= now) return false;
      if (now - (key.lastUsedAt ?? 0) >= notedMs) {
        await database.write((sql) => touchMachineKey(sql, key.id, now));
        find.forget();
      }
      return true;
    },
  };
}

interface KeyMemory {
  byHash(hash: string): Promise<KeyView | undefined>;
  /** A key was changed; only this process changes any. */
  forget(): void;
}

/** Thousands of machines come back with one key at once: it is read once. Keys that do not exist are not remembered. */
function rememberKeys(database: Pick<Database, 'read'>): KeyMemory {
  let known = new Map<string, KeyView>();
  return {
    async byHash(hash) {
      const before = known; // what is read while a key changes is not remembered
      const key = known.get(hash) ?? (await database.read((sql) => machineKeyByHash(sql, hash)));
      if (key && before.size < maxKnown) before.set(hash, key);
      return key;
    },
    forget() {
      known = new Map();
    },
  };
}
