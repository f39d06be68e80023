/**
 * The files of a form as they come (RFC 7578): one part after the other, each with its content in pieces, in the memory of one piece. Whatever
 * of a part is not read is passed over.
 */
import { CroftError } from '@croft/runtime/errors';

export interface Part {
  /** Of the form's field. */
  readonly name: string;
  /** Of a file, without directories. */
  readonly filename?: string | undefined;
  readonly content: AsyncIterable<Buffer>;
}

const maxHeadBytes = 8_192;
const maxParts = 1_000;
const lineEnd = Buffer.from('\r\n');
const headEnd = Buffer.from('\r\n\r\n');

/** @throws CroftError `invalid` for what is no such form, or was cut */
export async function* readMultipart(contentType: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Part, void> {
  const [, quoted, plain] = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw malformed('it has no boundary');
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const input = createInput(source);
  const skip = async (): Promise<void> => {
    for await (const _ of input.upTo(delimiter)); // passed over
  };
  await skip();
  for (let count = 0; ; count += 1) {
    const after = await input.take(2);
    if (after.equals(Buffer.from('--'))) return;
    if (!after.equals(lineEnd)) throw malformed('a boundary does not end');
    if (count === maxParts) throw new CroftError('exhausted', `the form has more than ${maxParts} parts`);
    let read = false;
    async function* content(): AsyncGenerator<Buffer> {
      yield* input.upTo(delimiter);
      read = true;
    }
    const pieces = content();
    yield { ...describe(await input.head()), content: pieces };
    if (read) continue;
    await pieces.return(undefined);
    await skip();
  }
}

function describe(head: string): { name: string; filename?: string } {
  const [, line = ''] = /^content-disposition:\s*form-data\s*;(.*)$/im.exec(head) ?? [];
  const value = (key: string): string | undefined => {
    const [, text] = new RegExp(`(?:^|[;\\s])${key}="([^"]*)"`, 'i').exec(line) ?? [];
    return text?.replace(/%22/g, '"').replace(/%0D/gi, '\r').replace(/%0A/gi, '\n');
  };
  const name = value('name');
  if (name === undefined) throw malformed('a part has no name');
  const filename = value('filename')?.replace(/^.*[/\\]/s, '');
  return filename === undefined ? { name } : { name, filename };
}

interface Input {
  take(length: number): Promise<Buffer>;
  /** Up to an empty line. */
  head(): Promise<string>;
  /** All before the mark, which is passed over. */
  upTo(mark: Buffer): AsyncGenerator<Buffer>;
}

/** Begins with a line's end, so that the first boundary looks like all others. */
function createInput(source: AsyncIterable<Uint8Array>): Input {
  const chunks = source[Symbol.asyncIterator]();
  let held: Buffer = lineEnd;
  const more = async (): Promise<void> => {
    const { done, value } = await chunks.next();
    if (done) throw malformed('it was cut');
    held = held.length === 0 ? Buffer.from(value) : Buffer.concat([held, value]);
  };
  const drop = (length: number): Buffer => {
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  };
  return {
    async take(length) {
      while (held.length < length) await more();
      return drop(length);
    },
    async head() {
      for (;;) {
        const end = held.indexOf(headEnd);
        if (end > maxHeadBytes || (end < 0 && held.length > maxHeadBytes)) throw malformed('the head of a part is too long');
        if (end >= 0) return drop(end + headEnd.length).toString();
        await more();
      }
    },
    async *upTo(mark) {
      for (;;) {
        const at = held.indexOf(mark);
        const ready = at >= 0 ? at : Math.max(0, held.length - mark.length + 1);
        if (ready > 0) yield drop(ready);
        if (at >= 0) return void drop(mark.length);
        await more();
      }
    },
  };
}

function malformed(why: string): CroftError {
  return new CroftError('invalid', `the form cannot be read: ${why}`);
}
