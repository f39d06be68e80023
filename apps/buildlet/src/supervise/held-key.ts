/**
 * A key that whoever starts the supervisor gives in an open descriptor (`--key-file fd:0`), so that its user, and with it every command, needs no
 * right to the file. It can be read once, and buildlets come and go: so it is held here, and each of them gets it in a pipe.
 */
import { Secret } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';
import { descriptorOf, readGiven } from '../settings/given.ts';

/** After standard input, output, errors and the channel to the buildlet. */
const pipeFd = 4;

export interface HeldKey {
  /** The buildlet's, with the pipe in place of the descriptor. */
  readonly args: readonly string[];
  /** Undefined when the buildlet finds its key by itself. */
  readonly key: Secret | undefined;
}

/** @throws CroftError `invalid` */
export function holdKey(args: readonly string[]): HeldKey {
  const at = args.findIndex((arg) => /^--?key-file(?:=|$)/.test(arg));
  const joined = args[at]?.includes('=') ?? false;
  const place = joined ? args[at]?.replace(/^[^=]*=/, '') : args[at + 1];
  if (at < 0 || place === undefined || descriptorOf(place) === undefined) return { args, key: undefined };
  try {
    const key = new Secret(readGiven(place));
    return { args: args.toSpliced(at, joined ? 1 : 2, `--key-file=fd:${pipeFd}`), key };
  } catch (error) {
    throw new CroftError('invalid', `supervisor settings: read the key from ${place}: ${errorText(error)}`);
  }
}
