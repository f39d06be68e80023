/** Text as a Go program prints it with `%q`: in double quotes, with escapes for what does not print and for bytes that are no text. */
const named: Readonly<Record<string, string>> = {
  '\u0007': String.raw`\a`,
  '\b': String.raw`\b`,
  '\f': String.raw`\f`,
  '\n': String.raw`\n`,
  '\r': String.raw`\r`,
  '\t': String.raw`\t`,
  '\v': String.raw`\v`,
  '"': String.raw`\"`,
  '\\': String.raw`\\`,
};
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const special = /[^\x20\x21\x23-\x5b\x5d-\x7e]/gu;

/** Lone surrogates U+DC80 to U+DCFF stand for single bytes. */
export function quoted(text: string): string {
  return `"${text.replace(special, escaped)}"`;
}

/** A list in brackets, separated by spaces. */
export function quotedList(texts: readonly string[]): string {
  return `[${texts.map(quoted).join(' ')}]`;
}

function escaped(character: string): string {
  const code = character.codePointAt(0) as number;
  if (named[character] !== undefined) return named[character];
  if (printable.test(character)) return character;
  if (code < 0x80 || (code >= 0xdc80 && code <= 0xdcff)) return `\\x${hex(code & 0xff, 2)}`;
  return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
}

function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, '0');
}
