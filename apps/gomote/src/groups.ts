/** Groups of sessions, each a file of the person (GRP-2): `~/.config/gomote/groups/NAME.json`. Instances are ids, which are never given twice. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { configHome } from '@croft/cli/connect';
import { writeOwnFile } from '@croft/cli/own-file';
import type { Cli } from '@croft/cli/program';
import { CroftError, systemCode } from '@croft/runtime/errors';

export interface Group {
  readonly name: string;
  readonly instances: readonly string[];
}

export interface Groups {
  /** By name. */
  list(): Promise<Group[]>;
  /** Undefined when there is none. @throws CroftError `invalid` for a file that is not understood */
  read(name: string): Promise<Group | undefined>;
  /** Whole or not at all. */
  write(group: Group): Promise<void>;
  remove(name: string): Promise<void>;
}

const groupSchema = z.object({ name: z.string(), instances: z.array(z.string()).max(10_000).nullable() });

export function openGroups(env: Cli['env']): Groups {
  const home = configHome(env);
  const dir = home && join(home, 'gomote', 'groups');
  const fileOf = (name: string): string => join(mustHave(dir), `${checkGroupName(name)}.json`);
  const read = async (name: string): Promise<Group | undefined> => {
    const text = await readFile(fileOf(name), 'utf8').catch(unlessMissing);
    return text === undefined ? undefined : parseGroup(text, fileOf(name));
  };
  return {
    async list() {
      const files = dir === undefined ? [] : ((await readdir(dir).catch(unlessMissing)) ?? []);
      const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
      const groups = await Promise.all(names.toSorted().map(read));
      return groups.filter((group) => group !== undefined);
    },
    read,
    write: async (group) => writeOwnFile(fileOf(group.name), `${JSON.stringify(group)}\n`),
    remove: (name) => rm(fileOf(name), { force: true }),
  };
}

/** @throws CroftError `invalid` */
function checkGroupName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) return name;
  throw new CroftError('invalid', `${JSON.stringify(name)} is not the name of a group`, { hint: 'Letters, digits, ".", "_" and "-".' });
}

/** @throws CroftError `invalid` */
function parseGroup(text: string, file: string): Group {
  try {
    const { name, instances } = groupSchema.parse(JSON.parse(text));
    return { name, instances: instances ?? [] };
  } catch (error) {
    throw new CroftError('invalid', `${file} is not a group`, { cause: error, hint: `Remove it: rm ${file}` });
  }
}

function mustHave(dir: string | undefined): string {
  if (dir !== undefined) return dir;
  throw new CroftError('invalid', 'there is no home directory for groups', { hint: 'Set HOME or XDG_CONFIG_HOME.' });
}

function unlessMissing(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error;
}
