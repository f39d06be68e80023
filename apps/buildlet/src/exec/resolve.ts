/** Which program and which directory an `/exec` means, by Go's rules since version 26. buildlet.md 1.10. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join, normalize } from 'node:path';
import { CroftError, errorText } from '@croft/runtime/errors';
import { checkRelative } from '../files/paths.ts';
import { quoted } from './quote.ts';

export interface Places {
  readonly workDir: string;
  /** Where a name without a slash is looked up: the buildlet's own PATH, not the request's. */
  readonly path: string;
  /** `mode=sys` */
  readonly system: boolean;
}

/** A request that names something that is not there, or not so: its status and text. */
export interface Refused {
  readonly status: 400 | 422;
  readonly text: string;
}

/** The absolute path. */
export function resolveCommand(cmd: string, { workDir, path, system }: Places): string | Refused {
  const what = "invalid 'cmd' parameter: ";
  if (cmd === '') return { status: 400, text: `${what}requires 'cmd' parameter` };
  if (isAbsolute(cmd)) return cleaned(cmd);
  const wrong = notRelative(cmd);
  if (wrong !== undefined) return { status: 400, text: `${what}${what}${wrong}` };
  if (cmd.includes('/')) {
    if (system) return { status: 400, text: `${what}'sys' mode requires absolute or system 'cmd' path` };
    return join(workDir, cmd);
  }
  const dirs = [...(system ? [] : [workDir]), ...path.split(delimiter)].filter(isAbsolute); // a relative entry would depend on where we run
  const found = dirs.map((dir) => join(dir, cmd)).find(isProgram);
  return found ?? { status: 422, text: `${what}command ${quoted(cmd)} not found` };
}

/** The absolute path; the directory of the command when none is asked for, in system mode the work directory. */
export function resolveDirectory(dir: string, command: string, { workDir, system }: Places): string | Refused {
  const what = "invalid 'dir' parameter: ";
  if (dir === '') return system ? workDir : dirname(command);
  if (isAbsolute(dir)) return cleaned(dir);
  const wrong = notRelative(dir);
  return wrong === undefined ? cleaned(join(workDir, dir)) : { status: 400, text: `${what}${what}${wrong}` };
}

function notRelative(path: string): string | undefined {
  try {
    checkRelative(path);
    return undefined;
  } catch (error) {
    if (error instanceof CroftError) return errorText(error);
    throw error;
  }
}

function cleaned(path: string): string {
  return normalize(path).replace(/(?<=.)\/+$/, '');
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not ours to execute
  }
}
