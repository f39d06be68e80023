/** The environment of a command: an allow-list of the buildlet's own, what tells it where it is, then what the run asked for. */
import { delimiter, join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { defaultPath } from './command.ts';
import { accountEnvironment, type Account } from './login.ts';

const passedNames = new Set(['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'TZ', 'TERM', 'SSL_CERT_FILE', 'SSL_CERT_DIR']);
const passedPattern = /^(?:LC_[A-Z]+|(?:https?|no)_proxy|(?:HTTPS?|NO)_PROXY)$/;
const reserved = /^(?:CROFT_|META_)/;

export interface Place {
  readonly workDir: string;
  readonly cwd: string;
  readonly cookie: string;
  /** Directories behind those of its PATH. */
  readonly path?: readonly string[] | undefined;
}

/** Directories that a package manager put into PATH for the script that started us. */
const scriptDir = /(?:^|\/)(?:node_modules\/\.bin|node-gyp-bin)\/*$/;

/** In the environment of each process of a tree. */
export const cookieVariable = 'CROFT_COOKIE';

/** @param passed what `passedEnvironment` gave */
export function commandEnvironment(
  passed: Readonly<Record<string, string>>,
  asked: Readonly<Record<string, string>>,
  place: Place,
): Record<string, string> {
  const given = { WORKDIR: place.workDir, TMPDIR: commandTempDir(place.workDir), PWD: place.cwd, [cookieVariable]: place.cookie };
  const env: Record<string, string> = { ...passed, ...given, ...asked };
  if (place.path && place.path.length > 0) env['PATH'] = [env['PATH'] || defaultPath, ...place.path].join(delimiter);
  return env;
}

/** JSON: variables for commands that are not for the buildlet, as those of a container's image. Given by whoever makes the machine. */
const commandVariables = 'CROFT_COMMAND_ENV';

/**
 * What of the buildlet's own environment commands may have, with what it lacks of its account's (a service has no USER, say), so that commands and
 * people's shells begin with the same. SHELL is the one that people get.
 */
export function passedEnvironment(own: NodeJS.ProcessEnv, account: Account | undefined): Record<string, string> {
  const { SHELL, ...rest } = accountEnvironment(account);
  const env: Record<string, string> = { ...rest, ...(JSON.parse(own[commandVariables] ?? '{}') as Record<string, string>) };
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && (passedNames.has(name) || passedPattern.test(name))) env[name] = value;
  }
  if (own['PATH'] !== undefined) env['PATH'] = commandPath(own);
  if (SHELL !== undefined) env['SHELL'] = SHELL;
  return env;
}

/** Where commands look for programs; empty when nothing was said. */
export function commandPath(own: NodeJS.ProcessEnv): string {
  return withoutScriptDirs(own['PATH'] ?? '');
}

/** One for each machine, beside the trees of its builds. */
export function commandTempDir(workDir: string): string {
  return join(workDir, 'tmp');
}

/** @throws CroftError `invalid` for names that are ours to set */
export function checkAskedEnvironment(asked: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(asked)) {
    if (reserved.test(name)) throw new CroftError('invalid', `environment variable ${name} is set by the farm alone`);
    if (value.includes('\0')) throw new CroftError('invalid', `environment variable ${name} holds a NUL`);
  }
}

function withoutScriptDirs(path: string): string {
  const dirs = path.split(delimiter);
  return dirs.filter((dir) => !scriptDir.test(dir)).join(delimiter);
}
