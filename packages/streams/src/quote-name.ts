/** Names of files for people. */

/** A byte string (one character for each byte), quoted as Go does it. */
export function quoteName(name: string): string {
  const decoded = Buffer.from(name, 'latin1').toString('utf8');
  if (Buffer.from(decoded, 'utf8').toString('latin1') === name) return `"${escaped(decoded)}"`;
  return `"${escaped(name).replace(/[\x80-\xff]/g, hex)}"`;
}

function escaped(text: string): string {
  return text.replace(/["\\]/g, '\\$&').replace(/[\x00-\x1f\x7f]/g, control);
}

function hex(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function control(character: string): string {
  return { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character] ?? hex(character);
}
