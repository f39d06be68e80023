/** One declared builder becomes one for each combination of its matrix, under names that adding a value or an axis' value never changes. */
import { explainIssues, type Issue, type Path } from './explain-issues.ts';
import { nearestName } from './nearest-name.ts';
import { matrixSchema, type Matrix } from './schema.ts';

/** One builder as it would have been written without a matrix. */
export interface Expanded {
  readonly input: Readonly<Record<string, unknown>>;
  readonly variant: Readonly<Record<string, string>>;
  /** Where it was declared. */
  readonly path: Path;
}

/** More are a mistake in the matrix. */
const largest = 1_000;

export function expandMatrix(declared: Readonly<Record<string, unknown>>, path: Path, tell: (issue: Issue) => void): Expanded[] {
  const { matrix: given, ...input } = declared;
  if (given === undefined) return [{ input, variant: {}, path }];
  const at = [...path, 'matrix'];
  const read = matrixSchema.safeParse(given);
  if (!read.success) {
    for (const issue of explainIssues(read.error, { schema: matrixSchema, input: given, at })) tell(issue);
    return [];
  }
  const axes = readAxes(read.data);
  checkExcept(read.data, axes, { at, tell });
  const size = axes.reduce((product, { values }) => product * values.length, 1);
  if (size > largest) {
    tell({ path: at, message: `makes ${size} builders, at most ${largest} are allowed` });
    return [];
  }
  const cells = combinations(axes).filter((cell) => !read.data.except.some((except) => isPart(except, cell)));
  if (cells.length === 0) tell({ path: at, message: 'makes no builder: every combination is left out' });
  return cells.map((variant) => ({ input: fill(merge(input, axes, variant), variant, { path, tell }), variant, path }));
}

interface Axis {
  readonly name: string;
  readonly values: readonly string[];
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

type Cell = Readonly<Record<string, string>>;

function readAxes({ axes }: Matrix): Axis[] {
  return Object.entries(axes).map(([name, values]) =>
    Array.isArray(values) ? { name, values: [...new Set(values)], settings: {} } : { name, values: Object.keys(values), settings: values },
  );
}

function checkExcept({ except }: Matrix, axes: readonly Axis[], { at, tell }: { at: Path; tell: (issue: Issue) => void }): void {
  const names = axes.map(({ name }) => name);
  except.forEach((cell, index) => {
    for (const [name, value] of Object.entries(cell)) {
      const path = [...at, 'except', index, name];
      const axis = axes.find((candidate) => candidate.name === name);
      if (!axis) tell({ path, message: `there is no axis "${name}"`, nearest: nearestName(name, names) });
      else if (!axis.values.includes(value))
        tell({ path, message: `"${value}" is not on the axis ${name}`, nearest: nearestName(value, axis.values) });
    }
  });
}

function combinations(axes: readonly Axis[]): Cell[] {
  return axes.reduce<Cell[]>(
    (cells, { name, values }) => cells.flatMap((cell) => values.map((value) => ({ ...cell, [name]: value }))),
    [{}],
  );
}

function isPart(part: Cell, cell: Cell): boolean {
  return Object.entries(part).every(([name, value]) => cell[name] === value);
}

/** What a value says comes after what the builder says: groups and lists grow, the rest is replaced. */
function merge(input: Readonly<Record<string, unknown>>, axes: readonly Axis[], variant: Cell): Readonly<Record<string, unknown>> {
  const merged: Record<string, unknown> = { ...input };
  for (const { name, settings } of axes) {
    for (const [key, value] of Object.entries(settings[variant[name] ?? ''] ?? {}))
      merged[key] = key === 'steps' ? value : join(merged[key], value);
  }
  const named = typeof merged['name'] === 'string' ? merged['name'] : '';
  if (named !== '' && !named.includes('{matrix.')) merged['name'] = [named, ...Object.values(variant)].join('-');
  return merged;
}

function join(before: unknown, after: unknown): unknown {
  if (Array.isArray(before) && Array.isArray(after)) return [...before, ...after];
  if (!isGroup(before) || !isGroup(after)) return after;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return Object.fromEntries([...keys].map((key) => [key, key in after ? join(before[key], after[key]) : before[key]]));
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Puts the values where `{matrix.AXIS}` stands, in every text but the names of settings. */
function fill<T>(value: T, variant: Cell, { path, tell }: { path: Path; tell: (issue: Issue) => void }): T {
  if (typeof value === 'string') {
    return value.replaceAll(/\{matrix\.([A-Za-z0-9_]*)\}/g, (whole, axis: string) => {
      const found = variant[axis];
      if (found === undefined)
        tell({ path, message: `there is no axis "${axis}" for ${whole}`, nearest: nearestName(axis, Object.keys(variant)) });
      return found ?? whole;
    }) as T;
  }
  if (Array.isArray(value)) return value.map((inner: unknown, index) => fill(inner, variant, { path: [...path, index], tell })) as T;
  if (!isGroup(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner, variant, { path: [...path, key], tell })])) as T;
}
