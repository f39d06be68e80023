/**
 * Fields as a log may print them: errors with message, code, stack and causes; secrets and passwords in addresses replaced; depth,
 * width and length limited, so that no value can flood the log or break a line.
 */
import { CroftError } from './errors.ts';

const limits = { depth: 6, entries: 100, textLength: 16_384 };
const hiddenName = /(?:password|passwd|token|authorization|secret|cookie|api-?key|private-?key|^key)$/i;
const censored = '[secret]';

export function printable(fields: Record<string, unknown>): Record<string, unknown> {
  return printableObject(fields, limits.depth);
}

function printableObject(fields: object, depth: number): Record<string, unknown> {
  const entries = Object.entries(fields).slice(0, limits.entries);
  return Object.fromEntries(entries.map(([name, value]) => [name, hides(name, value) ? censored : printableValue(value, depth - 1)]));
}

function hides(name: string, value: unknown): boolean {
  return value !== undefined && value !== null && typeof value !== 'boolean' && hiddenName.test(name);
}

function printableValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return printableText(value);
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth <= 0) return '[deeper]';
  if (value instanceof Error) return printableError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value) || value instanceof Set)
    return [...value].slice(0, limits.entries).map((inner: unknown) => printableValue(inner, depth - 1));
  if (value instanceof Map) return printableObject(Object.fromEntries(value), depth);
  if ('toJSON' in value && typeof value.toJSON === 'function') return printableValue(value.toJSON() as unknown, depth - 1);
  return printableObject(value, depth);
}

/** A cause that is an error is printed the same way, one level down. */
function printableError(error: Error, depth: number): Record<string, unknown> {
  const details = error instanceof CroftError ? { hint: error.hint, ...error.fields } : {};
  const code = 'code' in error ? error.code : undefined;
  const { name, message, stack, cause } = error;
  const errors = error instanceof AggregateError ? error.errors : undefined;
  const suppressed = error instanceof SuppressedError ? { error: error.error as unknown, suppressed: error.suppressed as unknown } : {};
  return printableObject({ ...details, name, code, message, stack, errors, ...suppressed, cause }, depth);
}

/** `https://user:password@host` loses what stands before the @. */
function printableText(text: string): string {
  const shown = text.length > limits.textLength ? `${text.slice(0, limits.textLength)}… (${text.length} characters)` : text;
  return shown.includes('@') ? shown.replaceAll(/([a-z][a-z0-9+.-]{0,20}:\/\/)[^/@\s]+@/gi, `$1${censored}@`) : shown;
}
