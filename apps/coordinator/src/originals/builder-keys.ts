/**
 * The originals' builder keys (coordinator.md AUTH-1): the hex HMAC-MD5 of a builder's name under one master key, which itself
 * counts for every builder. Weak by today's measure, so accepted only where the operator wants it; a key is never shown again.
 */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CroftError } from '@croft/runtime/errors';
import { sameSecret } from '@croft/runtime/digest';

export interface BuilderKeys {
  /** What the key entitles to: everything, this builder, or nothing. */
  check(key: string, builder: string): 'master' | 'builder' | undefined;
  keyOf(builder: string): string;
}

export interface CompatSettings {
  readonly goBuilderKeys: boolean;
  readonly masterKeyFile?: string | undefined;
  readonly revokedBuilders: readonly string[];
}

/** Known to everybody who has read the originals' sources. */
const developmentKey = 'gophers rule';

/**
 * Undefined where keys are not accepted. `local`: nobody but programs of this machine can reach the listener.
 * @throws CroftError `invalid` when the key cannot be read, or anybody in reach would know it
 */
export async function openBuilderKeys(
  { goBuilderKeys, masterKeyFile, revokedBuilders }: CompatSettings,
  local: boolean,
): Promise<BuilderKeys | undefined> {
  if (!goBuilderKeys) return undefined;
  const master = masterKeyFile === undefined ? developmentKey : await readMasterKey(masterKeyFile);
  if (master === developmentKey && !local) {
    throw new CroftError(
      'invalid',
      'compat.goBuilderKeys: the development key of the originals is public, and this address is not loopback',
      {
        hint: 'Write a secret of your own into a file and name it with compat.masterKeyFile.',
      },
    );
  }
  return createBuilderKeys(master, revokedBuilders);
}

export function createBuilderKeys(master: string, revoked: readonly string[]): BuilderKeys {
  const keyOf = (builder: string): string => createHmac('md5', master).update(builder).digest('hex');
  return {
    check(key, builder) {
      if (sameSecret(key.trim(), master)) return 'master';
      return builder !== '' && sameSecret(key, keyOf(builder)) && !revoked.includes(builder) ? 'builder' : undefined;
    },
    keyOf,
  };
}

async function readMasterKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CroftError('invalid', `reading compat.masterKeyFile ${path}`, {
      cause: error,
      hint: 'Name a file that the farm’s user can read.',
    });
  });
  if (text.trim() !== '') return text.trim();
  throw new CroftError('invalid', `compat.masterKeyFile ${path} is empty`, { hint: 'Write the master key into it.' });
}
