/** `PUT /write`: the request's body becomes a file. buildlet.md 1.8. */
import fs from 'node:fs';
import { promisify } from 'node:util';
import { CroftError } from '@croft/runtime/errors';
import { createInside } from './open-inside.ts';
import type { Share } from './room.ts';

export interface WriteOptions {
  readonly workDir: string;
  /** Permissions with set-id and sticky bits; they hold for a file that was there, too. */
  readonly mode: number;
  readonly share: Share;
  readonly signal: AbortSignal;
}

const write = promisify(fs.write);

/** What came before a failure stays in the file. @throws CroftError `invalid`, `exhausted`; what the system says */
export async function writeFile(path: string, body: AsyncIterable<Buffer>, options: WriteOptions): Promise<void> {
  const fd = await createInside(options.workDir, path);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new CroftError('invalid', `path ${JSON.stringify(path)} is not a regular file`);
    let size = 0;
    for await (const piece of body) {
      options.signal.throwIfAborted();
      size += piece.length;
      await options.share.take(size);
      for (let at = 0; at < piece.length;) at += (await write(fd, piece, at)).bytesWritten;
    }
    fs.fchmodSync(fd, options.mode);
  } finally {
    fs.closeSync(fd);
  }
}
