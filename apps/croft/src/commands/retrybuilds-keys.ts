/** The originals' builder keys (coordinator.md AUTH-1, RET-4): made from the master key where that can be read, else read from a file. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';

export type KeyOf = (builder: string) => string;

export interface KeyOptions {
  readonly masterkey?: string;
  readonly key?: string;
  readonly sendmaster?: boolean;
}

/** Undefined when nobody named a key and there is none at its usual place. @throws CroftError `invalid` for one that was named and cannot be read */
export async function readKeys({ masterkey, key, sendmaster = false }: KeyOptions, home: string | undefined): Promise<KeyOf | undefined> {
  const usual = masterkey === undefined && home !== undefined ? join(home, 'keys', 'gobuilder-master.key') : undefined;
  const master =
    (usual === undefined ? undefined : await readKey(usual, true)) ?? (masterkey && (await readKey(masterkey, key !== undefined)));
  if (master) return sendmaster ? () => master : (builder) => createHmac('md5', master).update(builder).digest('hex');
  if (sendmaster) throw new CroftError('invalid', '--sendmaster: there is no master key', { hint: 'Name its file with --masterkey.' });
  const own = key === undefined ? undefined : await readKey(key, false);
  return own === undefined ? undefined : () => own;
}

async function readKey(path: string, mayMiss: boolean): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    if (text !== '') return text;
    throw new CroftError('invalid', `the key file ${path} is empty`);
  } catch (error) {
    if (mayMiss && systemCode(error) === 'ENOENT') return undefined;
    if (error instanceof CroftError) throw error;
    throw new CroftError('invalid', `reading the key file ${path}`, { cause: error, hint: 'Name a file that you can read.' });
  }
}
