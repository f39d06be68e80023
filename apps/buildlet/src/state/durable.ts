/** Small files that are whole or absent whenever the process or the power dies. */
import { closeSync, fsync, openSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { asCroftError, CroftError, systemCode } from '@croft/runtime/errors';

const sync = promisify(fsync);

/** Replaces the file at once and for good: written beside, synchronised, renamed. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await writeSynced(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** Only the disk is waited for: each of the other steps is shorter than the way to another thread and back. */
async function writeSynced(path: string, text: string): Promise<void> {
  const file = openSync(path, 'w', 0o600);
  try {
    writeFileSync(file, text);
    await sync(file);
  } catch (error) {
    throw writeFailure(error, path);
  } finally {
    closeSync(file);
  }
}

/**
 * Adds a line, written at once so that lines never mix. Each begins anew, so that one which the loss of power tore spoils no other.
 * Without `sync` only a kill is survived.
 */
export async function appendLine(path: string, line: string, { sync: synced = true } = {}): Promise<void> {
  const file = openSync(path, 'a', 0o600);
  try {
    writeFileSync(file, `\n${line}\n`);
    if (synced) await sync(file);
  } catch (error) {
    throw writeFailure(error, path);
  } finally {
    closeSync(file);
  }
}

/** Undefined when there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The failure with the path that it is about, which the system does not tell, and in our words when the disk is full. */
export function writeFailure(error: unknown, path: string): CroftError {
  if (!['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '')) return asCroftError(error, 'internal', `write ${path}`);
  return new CroftError('exhausted', `write ${path}: the disk is full`, { cause: error, hint: 'Free disk space on the worker.' });
}
