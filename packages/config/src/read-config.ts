/** Reads the operator's configuration: `.ts`, `.js` and `.mjs` are evaluated apart, `.json` and `.yaml` are read. Whole or not at all. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { systemClock, type Clock, type Waits } from '@croft/runtime/clock';
import { frozen } from '@croft/runtime/config';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import { evaluateModule } from './evaluate-module.ts';
import type { ConfigInput } from './define-config.ts';
import { valueAt, type Issue, type Path } from './explain-issues.ts';
import type { EnvironmentName, FarmConfig } from './farm-config.ts';
import { literalPlaces, type Places } from './literal-places.ts';
import { mistakesError, placeIssues, type Mistake } from './mistakes.ts';
import { parseConfig } from './parse-config.ts';
import { lazily, readJson, readYaml } from './read-text.ts';

export interface ReadOptions extends Waits {
  readonly environment?: EnvironmentName | undefined;
  readonly clock?: Clock;
}

export type Loaded = {
  /** Every file that took part, to watch. */
  readonly files: readonly string[];
} & (
  | {
      readonly kind: 'valid';
      readonly config: FarmConfig;
      /** Of all that was written. */
      readonly hash: string;
      /** Where a setting stands. */
      lineOf(path: Path): number | undefined;
    }
  | { readonly kind: 'mistaken'; readonly mistakes: readonly Mistake[] }
);

const mostBytes = 16 * 1024 * 1024;

/** @throws CroftError `invalid` for a file that cannot be read; mistakes in it are the result */
export async function loadConfigFile(
  path: string,
  { environment = 'local', clock = systemClock, signal }: ReadOptions = {},
): Promise<Loaded> {
  const file = resolve(path);
  const read = await readFileValue(file, { clock, signal });
  if (!('value' in read)) return { kind: 'mistaken', files: read.files, mistakes: read.mistakes };
  const { files, value, places } = read;
  const parsed = parseConfig(value, { environment, dir: dirname(file) });
  if ('issues' in parsed) return { kind: 'mistaken', files, mistakes: placeIssues(parsed.issues, { file: path, input: value, places }) };
  const hash = sha256Hex(JSON.stringify(value)).slice(0, 16);
  return { kind: 'valid', files, config: frozen(parsed.config), hash, lineOf: (of) => places.lineOf(of, valueAt(value, of)) };
}

/** @throws CroftError `invalid` that names the file and every mistake in it */
export async function readConfigFile(path: string, options: ReadOptions = {}): Promise<FarmConfig> {
  const loaded = await loadConfigFile(path, options);
  if (loaded.kind === 'mistaken') throw mistakesError(path, loaded.mistakes);
  return loaded.config;
}

/** A configuration that stands in a program. @throws CroftError `invalid` that lists every mistake */
export function readConfig(
  input: ConfigInput,
  { environment = 'local', source = 'settings' }: { environment?: EnvironmentName; source?: string } = {},
): FarmConfig {
  const parsed = parseConfig(input, { environment, dir: resolve('.') });
  if ('issues' in parsed) throw mistakesError(source, placeIssues(parsed.issues, { file: source, input }));
  return frozen(parsed.config);
}

type Value = { readonly files: readonly string[] } & (
  | { readonly value: unknown; readonly places: Places }
  | { readonly mistakes: readonly Mistake[] }
);

async function readFileValue(file: string, waits: Waits & { clock: Clock }): Promise<Value> {
  const text = await readLimited(file);
  const kind = extname(file);
  const whole = (line: number | undefined, message: string): Mistake => ({ file, line, setting: '', message, nearest: undefined });
  if (kind === '.json' || kind === '.jsonc' || kind === '.yaml' || kind === '.yml') {
    const read = kind.startsWith('.j') ? readJson(text) : readYaml(text);
    if ('mistakes' in read) return { files: [file], mistakes: read.mistakes.map(({ line, message }) => whole(line, message)) };
    return { files: [file], ...read };
  }
  if (kind !== '.ts' && kind !== '.js' && kind !== '.mjs' && kind !== '.mts') {
    throw new CroftError('invalid', `the configuration ${file} is of no kind that is read`, {
      hint: 'Give a file that ends in .ts, .js, .mjs, .json, .yaml or .yml.',
    });
  }
  const read = await evaluateModule(file, waits);
  const places = lazily(() => literalPlaces(text));
  if ('value' in read) return { files: read.files, value: read.value, places };
  if ('failure' in read) {
    const { line, message, file: inside = file } = read.failure;
    return { files: read.files, mistakes: [{ ...whole(line, message), file: inside }] };
  }
  return { files: read.files, mistakes: placeIssues(read.issues as readonly Issue[], { file, input: undefined, places }) };
}

async function readLimited(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > mostBytes) throw new CroftError('exhausted', `it is larger than ${mostBytes} bytes`);
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CroftError('invalid', `reading the configuration ${file}`, {
      cause: error,
      hint: 'Give the path of a file that the farm’s user can read.',
    });
  }
}
