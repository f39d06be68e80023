/** What the local pool keeps in a machine's directory to find the machine again: its password and the process of its buildlet. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '@croft/runtime/errors';
import type { ProcessMark } from './processes.ts';

export const passwordFile = (dir: string): string => join(dir, 'password');

/** The password that the directory holds, else this one, which is stored; readable by its owner alone. */
export async function ensurePassword(dir: string, password: string): Promise<string> {
  try {
    return await readFile(passwordFile(dir), 'utf8');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  await replaceFile(passwordFile(dir), password);
  return password;
}

/** Undefined when it was never started. */
export async function readMark(dir: string): Promise<ProcessMark | undefined> {
  try {
    return JSON.parse(await readFile(join(dir, 'process.json'), 'utf8')) as ProcessMark;
  } catch {
    return undefined;
  }
}

export async function writeMark(dir: string, mark: ProcessMark): Promise<void> {
  await replaceFile(join(dir, 'process.json'), JSON.stringify(mark));
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
