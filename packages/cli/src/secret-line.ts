/** A line that is typed or pasted at a terminal and not shown there, as passwords are. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { CroftError } from '@croft/runtime/errors';

/** From when this returns nothing is shown; when its promise is settled the terminal is as it was. @throws CroftError `cancelled` after Ctrl-C, or at its end */
export async function secretLine(terminal: ReadStream): Promise<string> {
  const nowhere = new Writable({ write: (_bytes, _encoding, done) => done() });
  const lines = createInterface({ input: terminal, output: nowhere, terminal: true, historySize: 0 });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  lines.once('line', resolve);
  lines.once('SIGINT', () => reject(new CroftError('cancelled', 'interrupted')));
  lines.once('close', () => reject(new CroftError('cancelled', 'nothing was typed')));
  try {
    return await promise;
  } finally {
    lines.close();
  }
}
