/** Variables and directories of commands as they are written on a command line (RUN-1, 3.2). Pure. */
import { CroftError } from '@croft/runtime/errors';

/**
 * What `-e` was given, empty strings left out. Of several for one name the last one counts, and stands where the last one stood. Names that
 * differ by case are told apart; a machine of Windows has the coordinator bring them together.
 * @throws CroftError `invalid` for one without `=`
 */
export function parseEnv(given: readonly string[]): Record<string, string> {
  const variables = new Map<string, string>();
  for (const entry of given.filter((one) => one !== '')) {
    const at = entry.indexOf('=', 1);
    if (at === -1) throw new CroftError('invalid', `-e ${JSON.stringify(entry)} is not NAME=VALUE`);
    const name = entry.slice(0, at);
    variables.delete(name);
    variables.set(name, entry.slice(at + 1));
  }
  return Object.fromEntries(variables);
}

export interface PathGround {
  readonly workDir: string;
  /** What stands for `$PATH`. */
  readonly path: string;
}

/** The PATH that `-path` asks for: elements with commas between, `$PATH` and `$WORKDIR` in them; `EMPTY` is none at all, nothing leaves it as it is. */
export function expandPath(list: string, { workDir, path }: PathGround): string {
  if (list === '') return path;
  if (list === 'EMPTY') return '';
  const separator = /^(?:[A-Za-z]:|\\\\)/.test(workDir) ? ';' : ':';
  return list
    .split(',')
    .map((element) => (element === '$PATH' ? path : element.replaceAll('$WORKDIR', () => workDir)))
    .filter((element) => element !== '')
    .join(separator);
}
