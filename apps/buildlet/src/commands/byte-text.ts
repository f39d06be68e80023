/**
 * Bytes of any kind as text and back: what is UTF-8 is itself, and every other byte is one lone surrogate, U+DC80 to U+DCFF. So an argument
 * of a command may hold what the kernel takes, and be looked at as any other text.
 */
const escapeBase = 0xdc00;
const replacement = '\ufffd';

export function textOfBytes(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes(replacement)) return text;
  let result = '';
  for (let at = 0; at < bytes.length;) {
    const character = characterAt(bytes, at);
    result += character ?? String.fromCharCode(escapeBase + (bytes[at] as number));
    at += character === undefined ? 1 : Buffer.byteLength(character);
  }
  return result;
}

export function bytesOfText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 1 ? Buffer.of(part.charCodeAt(0) - escapeBase) : Buffer.from(part, 'utf8'))),
  );
}

/** For a system call that takes only text: bytes that are none become U+FFFD. */
export function escapedText(text: string): string {
  return text.toWellFormed();
}

function characterAt(bytes: Buffer, at: number): string | undefined {
  const first = bytes[at] as number;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const own = bytes.subarray(at, at + length);
  const character = own.toString('utf8');
  return Buffer.from(character, 'utf8').equals(own) ? character : undefined;
}
