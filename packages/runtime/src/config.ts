/** Settings: one zod schema per app, read once, every mistake listed at once, then frozen. Secrets print as `[secret]`. */
import { inspect } from 'node:util';
import * as z from 'zod';
import { CroftError } from './errors.ts';

/** A value that does not print. Use `reveal()` where it is needed and nowhere else. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
  [inspect.custom](): string {
    return '[secret]';
  }
}

export const secretSchema = z
  .string()
  .min(1)
  .transform((text) => new Secret(text));

/** @throws CroftError `invalid` that lists every mistake with the setting's name. */
export function parseConfig<Schema extends z.ZodType>(schema: Schema, input: unknown, source: string): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return frozen(result.data);
  const mistakes = result.error.issues.map((issue) => `  ${issue.path.join('.') || '(all)'}: ${issue.message}`);
  throw new CroftError('invalid', `${source}: ${mistakes.length} mistake(s)\n${mistakes.join('\n')}`, {
    hint: 'Correct the settings named above; nothing was started.',
  });
}

/** Frozen through and through, plain parts only. */
export function frozen<T>(value: T): T {
  if (!isPlain(value)) return value;
  for (const inner of Object.values(value)) frozen(inner);
  return Object.freeze(value);
}

function isPlain(value: unknown): value is object {
  return Array.isArray(value) || (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype);
}
