/** A driver waits for a database that is full or too slow as for one that is gone: none of them ends an attempt. */
import { CroftError, isCode } from '@croft/runtime/errors';

export async function waitable<T>(statements: Promise<T>): Promise<T> {
  try {
    return await statements;
  } catch (error) {
    if (!isCode(error, 'exhausted') && !isCode(error, 'timeout')) throw error;
    throw new CroftError('unavailable', error.message, { cause: error, hint: error.hint });
  }
}
