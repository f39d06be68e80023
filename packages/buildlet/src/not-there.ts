/** A path that a machine has not: all that a buildlet says of it, ours as Go's, are the words of its system behind `Walk error:`. */
import { CroftError } from '@croft/runtime/errors';

export function isNotThere(error: unknown): boolean {
  return error instanceof CroftError && /no such file or directory|not a directory|cannot find the/.test(error.message);
}
