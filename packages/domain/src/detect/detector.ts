/** What a detector sees of a commit and what it may answer. Nothing of the repository is run or evaluated to find out. */
import { MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Role, Step } from '../job.ts';

export interface Tree {
  /** Of every file, in git's order. */
  paths(): readonly string[];
  /** Mode of a file at a path, as git writes it; `undefined` when there is none. */
  mode(path: string): string | undefined;
  /** Text of a small file; `undefined` when there is none. @throws CroftError `invalid` for one that is too large to be read */
  read(path: string): Promise<string | undefined>;
}

export interface DetectedPlan {
  readonly steps: readonly Step[];
  /** Which file decided and what in it, in one sentence. */
  readonly reason: string;
}

export interface Detector {
  /** The first of them that is there is the one that is looked at. */
  readonly files: readonly string[];
  /** A string says what the file lacks. @throws CroftError `invalid` when it is not what its name says */
  find(file: string, tree: Tree): Promise<DetectedPlan | string> | DetectedPlan | string;
}

/** Links and submodules are none: what they point at is another matter. */
export function hasFile({ mode }: Pick<Tree, 'mode'>, path: string): boolean {
  return mode(path)?.startsWith('100') === true;
}

/** The first of the paths that is a file. */
export function firstFile(tree: Tree, paths: readonly string[]): string | undefined {
  return paths.find((path) => hasFile(tree, path));
}

export function isExecutable({ mode }: Tree, path: string): boolean {
  return mode(path) === '100755';
}

/** Without the mark that some editors put before the first byte. */
export async function textOf(tree: Tree, path: string): Promise<string> {
  return (await tree.read(path))?.replace(/^\uFEFF/, '') ?? '';
}

/** @throws CroftError `invalid` */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CroftError('invalid', `${file} is not JSON`, { cause: error });
  }
}

/** The texts below a key of a JSON object; whatever is no text is left out. */
export function textsBelow(value: unknown, key: string): ReadonlyMap<string, string> {
  const entries = Object.entries(groupOf(groupOf(value)[key]));
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

export function groupOf(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}

const setupLimitMs = 20 * MINUTE;
const otherLimitMs = 60 * MINUTE;

export function step(name: string, role: Role, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Step {
  return { name, role, argv, env, dir: '.', limitMs: role === 'setup' ? setupLimitMs : otherLimitMs };
}
