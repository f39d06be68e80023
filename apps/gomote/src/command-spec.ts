/** What `gomote run` asks a machine to run: words and options of the command line as the body of a run. Pure but for what it is told. */
import { posix } from 'node:path';
import type { RunSpec } from '@croft/protocol/runs';
import { DAY } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { parseEnv } from './env-list.ts';

export interface CommandOptions {
  readonly system?: boolean;
  readonly dir?: string;
  readonly e: readonly string[];
  readonly firewall?: boolean;
  readonly builderenv?: string;
}

/** What it leaves out the coordinator fills in from the session: where it runs, and the variables beneath. */
export type CommandSpec = Omit<RunSpec, 'dir'> & { readonly dir?: string; readonly builderEnv?: string };

/** Sessions have limits of their own; these are only beyond all of them. */
const limits = { limitMs: 30 * DAY, outputLimitBytes: 2 ** 50 };

/** @throws CroftError `invalid` for variables without `=`, for no command, and for an option in its place */
export function commandSpec([first, ...more]: readonly string[], options: CommandOptions): CommandSpec {
  const words = first === undefined || first === '--' ? more : [first, ...more];
  if (words.length === 0) throw new CroftError('invalid', 'name a command to run', { hint: 'gomote run INSTANCE COMMAND' });
  if (words[0]?.startsWith('-')) {
    throw new CroftError('invalid', `the command cannot be ${JSON.stringify(words[0])}`, { hint: 'Options stand before the instance.' });
  }
  const { e, firewall, builderenv } = options;
  const env = { ...parseEnv(e), ...(firewall ? { GO_DISABLE_OUTBOUND_NETWORK: 'true' } : {}) };
  const borrowed = builderenv === undefined ? {} : { builderEnv: builderenv };
  return { ...placed(words, options), env, ...limits, ...borrowed };
}

/** A command with a slash is one of the work directory and runs in its own directory; one without is looked up where commands are. */
function placed([command = '', ...args]: readonly string[], { system, dir }: CommandOptions): Pick<CommandSpec, 'argv' | 'dir'> {
  if (system || command.startsWith('/')) return { argv: [command, ...args], dir: dir ?? '.' };
  if (!command.includes('/')) return { argv: [command, ...args], ...(dir === undefined ? {} : { dir }) };
  const where = dir ?? posix.dirname(command);
  if (where.startsWith('/')) return { argv: [command, ...args], dir: where };
  const there = posix.relative(`/${where}`, `/${command}`);
  return { argv: [there.includes('/') ? there : `./${there}`, ...args], dir: where };
}
