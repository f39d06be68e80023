/** Lines of text as they come, each without its end and with a limit. */
import { CroftError } from '@croft/runtime/errors';

const maxLineBytes = 1024 * 1024;

/** @throws CroftError `exhausted` when a line has no end within 1 MiB, `unavailable` when the last one has none at all */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const lines of recordBatches(pieces, '\n')) for (const line of lines) yield Buffer.from(line, 'latin1').toString('utf8');
}

/** The same of bytes that end with another character, as latin1: those that each piece ends. */
export async function* recordBatches(pieces: AsyncIterable<Uint8Array>, end: '\n' | '\0'): AsyncGenerator<readonly string[]> {
  let begun = '';
  for await (const piece of pieces) {
    const text = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1');
    const records = text.split(end);
    const rest = records.pop() ?? '';
    if (records.length > 0) {
      records[0] = begun + records[0];
      begun = '';
      if (records.some(({ length }) => length > maxLineBytes)) throw tooLong();
      yield records;
    }
    begun += rest;
    if (begun.length > maxLineBytes) throw tooLong();
  }
  if (begun !== '') throw new CroftError('unavailable', 'the answer ends in the middle of a line');
}

function tooLong(): CroftError {
  return new CroftError('exhausted', `a line of the answer is longer than ${maxLineBytes} bytes`);
}
