/**
 * The form of an `/exec` as Go reads one: pairs with a semicolon or with a wrong `%` escape are dropped, names and values are bytes. The
 * body's values come before those of the query. buildlet.md 1.1 and 1.10.
 */
import { textOfBytes } from '../commands/byte-text.ts';

export interface Form {
  /** The first value of the body, else of the query; empty when there is none. */
  value(name: string): string;
  /** All values of the body alone, in order. */
  all(name: string): readonly string[];
  /** A boolean as Go reads it; what is none is false. */
  flag(name: string): boolean;
}

type Pairs = ReadonlyMap<string, readonly string[]>;

export function parseForm(body: Buffer, query: string): Form {
  const posted = parsePairs(body.toString('latin1'));
  const asked = parsePairs(query === '' ? '' : Buffer.from(query, 'utf8').toString('latin1'));
  const value = (name: string): string => posted.get(name)?.[0] ?? asked.get(name)?.[0] ?? '';
  return { value, all: (name) => posted.get(name) ?? [], flag: (name) => isTrue(value(name)) };
}

function isTrue(text: string): boolean {
  return ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text);
}

/** Of text in which each character is one byte. */
function parsePairs(text: string): Pairs {
  const pairs = new Map<string, string[]>();
  for (const part of text.split('&')) {
    if (part === '' || part.includes(';')) continue;
    const equals = part.indexOf('=');
    const name = unescaped(equals < 0 ? part : part.slice(0, equals));
    const value = unescaped(equals < 0 ? '' : part.slice(equals + 1));
    if (name === undefined || value === undefined) continue;
    const values = pairs.get(name);
    if (values) values.push(value);
    else pairs.set(name, [value]);
  }
  return pairs;
}

function unescaped(text: string): string | undefined {
  if (/^[\w./=:@~^,-]*$/.test(text)) return text; // as most are
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  const bytes = text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return textOfBytes(Buffer.from(bytes, 'latin1'));
}
