/** Reading small request bodies: typed, capped before they are held, and clear about what is wrong with them. */
import { CroftError } from '@croft/runtime/errors';

export const bodyLimitBytes = 65_536;

export interface Schema<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } };
}

/** An absent body is an empty object. @throws CroftError `invalid`, `too-large` */
export async function readJson<T>(request: Request, schema: Schema<T>): Promise<T> {
  const text = await readText(request);
  if (text === '') return parseInput(schema, {}, 'the request body');
  if (!/^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '')) {
    throw new CroftError('invalid', 'the body must be JSON', { hint: 'Send "Content-Type: application/json".' });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CroftError('invalid', `the body is not JSON: ${error instanceof Error ? error.message : ''}`);
  }
  return parseInput(schema, value, 'the request body');
}

/** @throws CroftError `invalid`, `too-large` */
export async function readForm(request: Request): Promise<URLSearchParams> {
  const text = await readText(request);
  if (text !== '' && !/^application\/x-www-form-urlencoded\s*(;|$)/i.test(request.headers.get('content-type') ?? '')) {
    throw new CroftError('invalid', 'the form must be URL-encoded');
  }
  return new URLSearchParams(text);
}

/** @throws CroftError `invalid` that lists every mistake. */
export function parseInput<T>(schema: Schema<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const mistakes = result.error.issues.slice(0, 10).map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`);
  throw new CroftError('invalid', `${what} is wrong: ${mistakes.join('; ')}`);
}

/** @throws CroftError `too-large`, `invalid` when it is not UTF-8 */
export async function readText(request: Request, limitBytes = bodyLimitBytes): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > limitBytes) throw tooLarge(limitBytes);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.byteLength;
    if (bytes > limitBytes) throw tooLarge(limitBytes);
    parts.push(part);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new CroftError('invalid', 'the body is not UTF-8');
  }
}

function tooLarge(limitBytes: number): CroftError {
  return new CroftError('too-large', `the body is larger than ${limitBytes} bytes`, { hint: `Send at most ${limitBytes} bytes.` });
}
