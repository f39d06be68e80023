/** What a schema objects to, said for people: where, what, and the name that was probably meant. */
import type * as z from 'zod';
import { nearestName } from './nearest-name.ts';

export type Path = readonly (string | number)[];

/** One mistake, before it is known where in the text it stands. */
export interface Issue {
  /** From the top of the configuration. */
  readonly path: Path;
  readonly message: string;
  /** The valid name that is nearest to what was written. */
  readonly nearest?: string | undefined;
}

/** What the schema says about `input`, whose own place is `at`. */
export function explainIssues(error: z.ZodError, { schema, input, at }: { schema: z.ZodType; input: unknown; at: Path }): Issue[] {
  return error.issues
    .flatMap((issue) => explain(issue, { schema, input }))
    .map(({ path, ...rest }) => ({ path: [...at, ...path], ...rest }));
}

interface Subject {
  readonly schema: z.ZodType;
  readonly input: unknown;
}

function explain(issue: z.core.$ZodIssue, subject: Subject): Issue[] {
  const path = issue.path as Path;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: 'there is no such setting',
        nearest: nearestName(key, keysAt(subject.schema, path, subject.input)),
      }));
    case 'invalid_union':
      return explainUnion(issue, subject);
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message }));
    case 'invalid_value':
      return [notOneOf(issue.values.map(String), path, subject.input)];
    case 'invalid_type': {
      const given = valueAt(subject.input, path);
      return [{ path, message: given === undefined ? 'is missing' : `${shown(given)} is not ${kinds[issue.expected] ?? issue.expected}` }];
    }
    case 'too_big':
      return [{ path, message: `is more than ${String(issue.maximum)}` }];
    case 'too_small':
      return [{ path, message: issue.message.startsWith('Too small') ? `is less than ${String(issue.minimum)}` : issue.message }];
    default:
      return [{ path, message: issue.message }];
  }
}

function notOneOf(values: readonly string[], path: Path, input: unknown): Issue {
  const given = valueAt(input, path);
  if (given === undefined) return { path, message: `is missing; it is one of ${values.join(', ')}` };
  return { path, message: `${shown(given)} is not one of ${values.join(', ')}`, nearest: nearestName(String(given), values) };
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  object: 'a group of settings',
  array: 'a list',
  record: 'a group of names',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
};

/** What is wrong with the variant that fits best: the one into which it got furthest. */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, { schema, input }: Subject): Issue[] {
  const path = issue.path as Path;
  if ('options' in issue && issue.options) return [notOneOf(issue.options.map(String), path, input)];
  const given = valueAt(input, path);
  if (given === undefined) return [{ path, message: 'is missing' }];
  const [best] = issue.errors.toSorted((a, b) => fit(b) - fit(a));
  if (best && fit(best) > 0) return best.flatMap((one) => explain({ ...one, path: [...path, ...one.path] }, { schema, input }));
  const own = issue.message === 'Invalid input' ? undefined : issue.message;
  return [{ path, message: own ?? `${shown(given)} is not ${[...new Set(issue.errors.flat().flatMap(wanted))].join(' or ')}` }];
}

/** 0 when it is another kind of value altogether. */
function fit(issues: readonly z.core.$ZodIssue[]): number {
  const other = issues.every(({ code, path }) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value'));
  return other ? 0 : 1 + Math.max(...issues.map(({ path }) => path.length));
}

function wanted(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map((value) => JSON.stringify(value));
  return issue.code === 'invalid_type' ? [kinds[issue.expected] ?? issue.expected] : [issue.message];
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'a group of settings';
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

export function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) => (value !== null && typeof value === 'object' ? (value as Record<string | number, unknown>)[key] : undefined),
    input,
  );
}

/** The settings that there are at a place; of several kinds, those of the kind that `input` says, if there is one. */
export function keysAt(schema: z.core.$ZodType, path: Path, input?: unknown): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object': {
      const [key, ...rest] = path;
      if (key === undefined) return Object.keys(def.shape);
      const inner = def.shape[key];
      return inner ? keysAt(inner, rest, valueAt(input, [key])) : [];
    }
    case 'array':
      return keysAt(def.element, path.slice(1), valueAt(input, path.slice(0, 1)));
    case 'record':
      return keysAt(def.valueType, path.slice(1), valueAt(input, path.slice(0, 1)));
    case 'default':
    case 'optional':
      return keysAt(def.innerType, path, input);
    case 'pipe':
      return keysAt(def.in, path, input);
    case 'union': {
      const { discriminator: kind } = def as Partial<z.core.$ZodDiscriminatedUnionDef>;
      const given = kind === undefined ? undefined : valueAt(input, [kind]);
      const isGiven = (option: z.core.$ZodType): boolean =>
        option._zod.propValues?.[kind ?? '']?.has(given as z.core.util.Primitive) === true;
      return def.options.filter((option) => given === undefined || isGiven(option)).flatMap((option) => keysAt(option, path, input));
    }
    default:
      return [];
  }
}
