/** Flags as Go's programs take them: one dash or two, `-name=value` or `-name value`; a flag of truth alone is true. buildlet.md 1.13. */
import { CroftError } from '@croft/runtime/errors';

const booleans = new Set(['halt', 'reboot', 'version', 'insecure-listen', 'insecure-dev', 'reconnect']);

/** Flags of Go's programs that start something which is not spoken here. */
const refused: Readonly<Record<string, string>> = {
  reverse: 'names builders of 2017, whose tunnel (revdial 1) is not spoken: give -reverse-type HOST_TYPE instead',
  'swarming-bot': 'runs the worker of another system, which is not spoken here: give -reverse-type HOST_TYPE instead',
  'gomote-server-addr': 'belongs to the worker of another system, which is not spoken here: give -coordinator HOST:PORT instead',
};

/** @throws CroftError `invalid` for what is no flag or belongs to another program */
export function parseFlags(args: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let index = 0; index < args.length; index += 1) {
    const [, name, value] = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(args[index] ?? '') ?? [];
    if (name === undefined) throw new CroftError('invalid', `buildlet settings: "${args[index]}" is not a flag`);
    if (Object.hasOwn(refused, name)) throw new CroftError('invalid', `buildlet settings: -${name} ${refused[name]}`);
    flags[name] = value ?? (booleans.has(name) ? 'true' : (args[(index += 1)] ?? ''));
  }
  return flags;
}

/** Go's spelling of truth; a flag alone is true. */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value);
}
