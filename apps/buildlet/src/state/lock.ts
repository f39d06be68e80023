/** One buildlet for each state directory. The lock is the kernel's, on a file, so kill -9 frees it. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CroftError, errorText } from '@croft/runtime/errors';

/** @throws CroftError `conflict` while another buildlet holds the directory */
export function lockStateDir(dir: string): Disposable {
  const database = new DatabaseSync(join(dir, 'lock'));
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw new CroftError('conflict', `lock the state directory ${dir}: ${errorText(error)}`, {
      hint: 'Another buildlet serves this directory. Stop it, or give this one a --state-dir of its own.',
    });
  }
  return { [Symbol.dispose]: () => database.close() };
}
