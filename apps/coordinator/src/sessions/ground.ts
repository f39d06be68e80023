/** What a command or a shell of a session gets, from its builder: pure. @see docs/using/sessions.md#what-a-shell-gets */
import type { Builder } from '@croft/domain/job';
import type { SessionGround } from './sessions.ts';

/** What was asked of the machine. */
export interface Place {
  /** Absolute path of its work directory. */
  readonly workDir: string;
  readonly speaks: SessionGround['speaks'];
}

interface Given {
  /** Whose tree the session is about; of the builder's the first without it. */
  readonly repo?: string | undefined;
  /** By name, what is not in the configuration: where services are, secrets of a builder whose sessions get them. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** @param builder undefined when it is not configured any more */
export function sessionGround(
  builder: Builder | undefined,
  { workDir, speaks }: Place,
  { repo = builder?.repos[0], variables = {} }: Given = {},
): SessionGround {
  const isWindows = /^[A-Za-z]:[\\/]/.test(workDir);
  const join = (path: string): string => (isWindows ? `${workDir}\\${path.replaceAll('/', '\\')}` : `${workDir}/${path}`);
  const { env = {}, path = [], dir } = builder?.shell ?? {};
  const own = Object.entries(env).map(([name, value]): Variable => [name, value.replaceAll('$WORKDIR', () => workDir)]);
  return {
    workDir,
    speaks,
    dir: dir ?? repo ?? '.',
    env: mergeVariables([['CI', 'true'], ...Object.entries(builder?.env ?? {}), ...own, ...Object.entries(variables)], isWindows),
    path: path.map(join),
  };
}

type Variable = readonly [name: string, value: string];

/** RUN-1: each name once, at the place of the last value; on Windows names are the same in upper and lower case. */
export function mergeVariables(variables: readonly Variable[], isWindows: boolean): Record<string, string> {
  const keyOf = (name: string): string => (isWindows ? name.toUpperCase() : name);
  const last = new Map(variables.map(([name], index) => [keyOf(name), index]));
  return Object.fromEntries(variables.filter(([name], index) => last.get(keyOf(name)) === index));
}
