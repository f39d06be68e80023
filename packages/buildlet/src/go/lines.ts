/** Lines of text as they come, each without its end and with a limit. */
import { CroftError } from '@croft/runtime/errors';

const maxLineBytes = 1024 * 1024;

const lineEnd = 10;

/** @throws CroftError `exhausted` when a line has no end within 1 MiB, `unavailable` when the last one has none at all */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const line of recordsOf(pieces, lineEnd)) yield line.toString('utf8');
}

/** The same of bytes that end with another byte. Each is good only until the next one is asked for. */
export async function* recordsOf(pieces: AsyncIterable<Uint8Array>, endByte: number): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let end = rest.indexOf(endByte); end !== -1; end = rest.indexOf(endByte)) {
      if (bytes + end > maxLineBytes) throw tooLong();
      yield begun.length === 0 ? rest.subarray(0, end) : Buffer.concat([...begun, rest.subarray(0, end)]);
      rest = rest.subarray(end + 1);
      begun = [];
      bytes = 0;
    }
    bytes += rest.length;
    if (bytes > maxLineBytes) throw tooLong();
    if (rest.length > 0) begun.push(Buffer.from(rest)); // what a piece lies in is used again
  }
  if (bytes > 0) throw new CroftError('unavailable', 'the answer ends in the middle of a line');
}

function tooLong(): CroftError {
  return new CroftError('exhausted', `a line of the answer is longer than ${maxLineBytes} bytes`);
}
