/** What the engines do not agree on: placeholders and NUL in text. */
import type { SqlValue } from './database.ts';

/** `?` becomes `$1`, `$2`, … outside of quotes and comments. */
export function numberPlaceholders(text: string): string {
  let count = 0;
  return text.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\?/g, (part) => (part === '?' ? `$${(count += 1)}` : part));
}

/** PostgreSQL refuses NUL in text, and SQLite's functions stop at it; hostile output must not get that far. */
export function storable(value: SqlValue): SqlValue {
  return typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
}

/** `?, ?, ?` for a list of this length. */
export function placeholders(length: number): string {
  return Array.from({ length }, () => '?').join(', ');
}
