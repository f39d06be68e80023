/** A `multipart/form-data` body, part by part, each as it comes (RFC 7578, RFC 2046 5.1). Nothing but heads is held. */
import { CroftError } from '@croft/runtime/errors';
import { openByteInput, type ByteInput } from '@croft/streams/byte-input';

export interface Part {
  readonly name: string;
  /** To be read before the next part is asked for; what is not read is passed over. */
  readonly body: AsyncGenerator<Buffer>;
}

const maxPreambleBytes = 1_024;
const maxHeadBytes = 16 * 1024;
const lineEnd = Buffer.from('\r\n');

/** @throws CroftError `invalid` */
export function boundaryOf(contentType: string): string {
  const [, quoted, plain] =
    /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"\r\n]{1,70})"|([^\s";,]{1,70})(?:[\s;,]|$))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw new CroftError('invalid', 'the body must be multipart/form-data with a boundary');
  return boundary;
}

/** @throws CroftError `invalid` for what is no such body, or is cut */
export async function* partsOf(pieces: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part> {
  const input = openByteInput(pieces);
  input.unread(lineEnd); // so that the first delimiter is like the others
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  await textUntil(input, delimiter, maxPreambleBytes);
  for (;;) {
    const two = await input.exactly(2, {});
    if (two.toString('latin1') === '--') return;
    input.unread(two);
    if ((await textUntil(input, lineEnd, maxPreambleBytes)).trim() !== '')
      throw new CroftError('invalid', 'a delimiter of the form is followed by something');
    const name = nameIn(await headOf(input));
    const body = bytesUntil(input, delimiter);
    yield { name, body };
    for await (const _ of body);
  }
}

async function headOf(input: ByteInput): Promise<string> {
  for (let head = ''; ;) {
    const line = await textUntil(input, lineEnd, maxHeadBytes - head.length);
    if (line === '') return head;
    head += `${line}\n`;
  }
}

function nameIn(head: string): string {
  const [, name] = /^content-disposition:\s*form-data\s*;(?:.*;)?\s*name="([^"]*)"/im.exec(head) ?? [];
  if (name === undefined) throw new CroftError('invalid', 'a part of the form has no name');
  return name;
}

/** UTF-8. @throws CroftError `too-large` */
export async function wholeOf(part: Part, limitBytes: number): Promise<string> {
  return gather(part.body, limitBytes);
}

async function textUntil(input: ByteInput, delimiter: Buffer, limitBytes: number): Promise<string> {
  return gather(bytesUntil(input, delimiter), limitBytes);
}

async function gather(pieces: AsyncIterable<Buffer>, limitBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > limitBytes) throw new CroftError('too-large', `a head or a field of the form is longer than ${limitBytes} bytes`);
    parts.push(piece);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** What comes before the delimiter; what comes behind it is left. */
async function* bytesUntil(input: ByteInput, delimiter: Buffer): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  for (;;) {
    const piece = await input.some({});
    if (!piece) throw new CroftError('invalid', 'the form was cut');
    const bytes = Buffer.concat([held, piece]);
    const at = bytes.indexOf(delimiter);
    if (at >= 0) {
      if (at + delimiter.length < bytes.length) input.unread(bytes.subarray(at + delimiter.length));
      if (at > 0) yield bytes.subarray(0, at);
      return;
    }
    const kept = Math.min(bytes.length, delimiter.length - 1);
    held = bytes.subarray(bytes.length - kept);
    if (bytes.length > kept) yield bytes.subarray(0, bytes.length - kept);
  }
}
