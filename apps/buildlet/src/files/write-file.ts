/** `PUT /write`: the request's body becomes a file. buildlet.md 1.8. */
import fs from 'node:fs';
import { promisify } from 'node:util';
import { CroftError } from '@croft/runtime/errors';
import { createInside } from './open-inside.ts';

export interface WriteOptions {
  readonly workDir: string;
  /** Permissions with set-id and sticky bits; they hold for a file that was there, too. */
  readonly mode: number;
  /** How many bytes there is room for now; asked again as the file grows. @throws CroftError `exhausted` */
  readonly room: () => Promise<number>;
  readonly signal: AbortSignal;
}

const write = promisify(fs.write);
const roomEveryBytes = 64 * 1024 * 1024;

/** What came before a failure stays in the file. @throws CroftError `invalid`, `exhausted`; what the system says */
export async function writeFile(path: string, body: AsyncIterable<Buffer>, options: WriteOptions): Promise<void> {
  const fd = await createInside(options.workDir, path);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new CroftError('invalid', `path ${JSON.stringify(path)} is not a regular file`);
    let size = 0;
    let looked = 0;
    let most = await options.room();
    for await (const piece of body) {
      options.signal.throwIfAborted();
      size += piece.length;
      if (size - looked > roomEveryBytes) {
        looked = size;
        most = size + (await options.room());
      }
      if (size > most) throw new CroftError('exhausted', 'write a file: the disk has no room for more');
      for (let at = 0; at < piece.length;) at += (await write(fd, piece, at)).bytesWritten;
    }
    fs.fchmodSync(fd, options.mode);
  } finally {
    fs.closeSync(fd);
  }
}
