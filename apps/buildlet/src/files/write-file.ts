/** `PUT /write`: the request's body becomes a file. buildlet.md 1.8. */
import fs from 'node:fs';
import { CroftError } from '@croft/runtime/errors';
import { free } from '@croft/streams/release';
import { createInside } from './open-inside.ts';
import type { Share } from './room.ts';

export interface WriteOptions {
  readonly workDir: string;
  /** Permissions with set-id and sticky bits; they hold for a file that was there, too. */
  readonly mode: number;
  readonly share: Share;
  readonly signal: AbortSignal;
}

/** Written together: TLS gives pieces of 16 KiB, each of which would cost calls of its own. */
const gathering = { bytes: 256 * 1024, pieces: 64 };

/** What came before a failure stays in the file. @throws CroftError `invalid`, `exhausted`; what the system says */
export async function writeFile(path: string, body: AsyncIterable<Buffer>, options: WriteOptions): Promise<void> {
  const fd = await createInside(options.workDir, path);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new CroftError('invalid', `path ${JSON.stringify(path)} is not a regular file`);
    await writeBody(fd, body, options);
    fs.fchmodSync(fd, options.mode);
  } finally {
    fs.closeSync(fd);
  }
}

/** In the loop's own thread: a trip to another one and back takes longer than the system needs to take the bytes. */
async function writeBody(fd: number, body: AsyncIterable<Buffer>, { share, signal }: WriteOptions): Promise<void> {
  let gathered: Buffer[] = [];
  let held = 0;
  let size = 0;
  const write = async (): Promise<void> => {
    const pieces = gathered;
    gathered = [];
    size += held;
    held = 0;
    await share.take(size);
    writeAll(fd, pieces);
    pieces.forEach(forget);
  };
  try {
    for await (const piece of body) {
      signal.throwIfAborted();
      gathered.push(piece);
      held += piece.length;
      if (held >= gathering.bytes || gathered.length >= gathering.pieces) await write();
    }
  } finally {
    if (held > 0) await write();
  }
}

function writeAll(fd: number, pieces: readonly Buffer[]): void {
  const total = pieces.reduce((sum, { length }) => sum + length, 0);
  const written = fs.writevSync(fd, pieces);
  if (written === total) return;
  const rest = Buffer.concat(pieces);
  for (let at = written; at < total;) at += fs.writeSync(fd, rest, at);
}

/** Now, and not when it is found unused: for each few dozen megabytes of such memory V8 would mark its whole heap. */
function forget({ buffer, byteLength }: Buffer): void {
  if (buffer.byteLength === byteLength) free(buffer);
}
