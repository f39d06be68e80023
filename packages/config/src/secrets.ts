/** Secrets from where the configuration says they are. They live in memory, and never stand in a file that Croft writes. */
import { readFile } from 'node:fs/promises';
import { Secret } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { SecretSource } from './farm-config.ts';

/** By name. */
export type Secrets = ReadonlyMap<string, Secret>;

/** Shorter ones cannot be told from ordinary output, and would be no secrets long. */
const leastBytes = 6;
/** What looks for it in output takes some hundred bytes of memory for each of its own. */
const mostBytes = 8 * 1024;

export interface ReadSecrets {
  readonly secrets: Secrets;
  /** Those that cannot be had, by their place in the list; nothing says what they hold. */
  readonly mistakes: readonly { readonly index: number; readonly name: string; readonly why: string }[];
}

export async function readSecrets(
  sources: readonly SecretSource[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ReadSecrets> {
  const secrets = new Map<string, Secret>();
  const mistakes: { index: number; name: string; why: string }[] = [];
  for (const [index, { name, from }] of sources.entries()) {
    const read = 'env' in from ? readVariable(from.env, env) : await readSecretFile(from.file);
    const why = 'why' in read ? read.why : objection(read.value);
    if (why !== undefined) mistakes.push({ index, name, why });
    else if ('value' in read) secrets.set(name, new Secret(read.value));
  }
  return { secrets, mistakes };
}

/** @throws CroftError `invalid` that names every secret that cannot be had */
export async function resolveSecrets(...from: Parameters<typeof readSecrets>): Promise<Secrets> {
  const { secrets, mistakes } = await readSecrets(...from);
  if (mistakes.length === 0) return secrets;
  const told = mistakes.map(({ name, why }) => `  ${name}: ${why}`);
  throw new CroftError('invalid', `reading secrets: ${mistakes.length} cannot be had\n${told.join('\n')}`, {
    hint: 'Set what is named above for the user that runs the coordinator.',
  });
}

type Read = { readonly value: string } | { readonly why: string };

function readVariable(name: string, env: Readonly<Record<string, string | undefined>>): Read {
  const value = env[name];
  return value === undefined ? { why: `the variable ${name} is not set` } : { value };
}

async function readSecretFile(path: string): Promise<Read> {
  try {
    return { value: (await readFile(path, 'utf8')).replace(/\r?\n$/, '') };
  } catch (error) {
    return { why: `the file ${path} cannot be read: ${errorText(error)}` };
  }
}

function objection(value: string): string | undefined {
  const bytes = Buffer.byteLength(value);
  if (bytes < leastBytes) return `it has ${bytes} bytes; with less than ${leastBytes} it cannot be kept out of logs`;
  if (bytes > mostBytes) return `it has ${bytes} bytes, at most ${mostBytes} are taken`;
  return value.includes('\0') ? 'it holds a NUL, which no variable can' : undefined;
}
