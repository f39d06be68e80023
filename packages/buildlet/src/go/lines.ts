/** Lines of text as they come, each without its end and with a limit. */
import { CroftError } from '@croft/runtime/errors';

const maxLineBytes = 1024 * 1024;

/** @throws CroftError `exhausted` when a line has no end within 1 MiB, `unavailable` when the last one has none at all */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      if (bytes + end > maxLineBytes) throw tooLong();
      yield Buffer.concat([...begun, rest.subarray(0, end)]).toString('utf8');
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
