/** Where a configuration is looked for when none is named. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CroftError } from '@croft/runtime/errors';

export const configNames = ['ts', 'mts', 'js', 'mjs', 'yaml', 'yml', 'json'].map((kind) => `croft.config.${kind}`);

/** @throws CroftError `invalid` where there is none */
export function configFile(given: string | undefined, cwd: string): string {
  const found = findConfig(given, cwd);
  if (found !== undefined) return found;
  throw new CroftError('invalid', `there is no configuration in ${cwd}`, {
    hint: `Name the file, write one with "croft init", or call it one of: ${configNames.join(', ')}`,
  });
}

/** The one that is named, whether it is there or not, else the first of the names that is there. */
export function findConfig(given: string | undefined, dir: string): string | undefined {
  return given === undefined ? configNames.map((name) => join(dir, name)).find((path) => existsSync(path)) : resolve(dir, given);
}
