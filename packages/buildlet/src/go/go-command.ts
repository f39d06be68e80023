/** A run as a command of `/exec`: absolute paths everywhere, since the rules for others differ between Go's versions. @see buildlet.md 1.3, 1.10 */
import { posix, win32 } from 'node:path';
import type { RunSpec } from '@croft/protocol/runs';
import { CroftError } from '@croft/runtime/errors';
import type { ExecOptions } from './exec.ts';

export interface GoCommand {
  readonly command: string;
  readonly options: Pick<ExecOptions, 'args' | 'dir' | 'extraEnv' | 'systemLevel'>;
}

/** @throws CroftError `invalid` for what leaves the work directory or may not be set */
export function goCommand({ argv, dir, env }: RunSpec, workDir: string): GoCommand {
  const path = pathsOf(workDir);
  const absolute = goDirectory(dir, workDir);
  const ours = Object.keys(env).find((name) => /^(CROFT|META)_/.test(name));
  if (ours !== undefined) throw new CroftError('invalid', `the variable ${ours} is not a command's to set`);
  const [program = '', ...args] = argv;
  const extraEnv = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const options = { args, dir: absolute, extraEnv, systemLevel: true };
  if (/[/\\]/.test(program) && (path === win32 || program.includes('/'))) {
    return { command: path.isAbsolute(program) ? program : path.join(absolute, program), options };
  }
  // Go's buildlet looks into its own PATH; `env` looks into the one that it was given.
  const inGivenPath = path === posix && env['PATH'] !== undefined && !program.includes('=');
  return inGivenPath ? { command: '/usr/bin/env', options: { ...options, args: argv } } : { command: program, options };
}

/** Absolute, as the machine writes it. */
export function goDirectory(dir: string, workDir: string): string {
  return pathsOf(workDir).join(workDir, below(dir));
}

/** As names below the work directory are sent: cleaned, since some versions look for `../` and others for where a name leads. */
export function below(path: string): string {
  const name = posix.normalize(path).replace(/(?<=.)\/$/, '');
  if (!path.includes('\\') && !posix.isAbsolute(name) && name !== '..' && !name.startsWith('../')) return name;
  throw new CroftError('invalid', `path ${JSON.stringify(path)} is not below the work directory`);
}

function pathsOf(workDir: string): typeof posix {
  return /^([A-Za-z]:|\\)/.test(workDir) ? win32 : posix;
}
