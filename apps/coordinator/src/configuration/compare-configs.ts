/** What a new configuration changes in a running farm, and what has to wait for its next start. Pure. */
import type { FarmConfig } from '@croft/config/farm-config';
import { frozen, Secret } from '@croft/runtime/config';

export interface Comparison {
  /** The new one, with everything that cannot change while it runs as it is. */
  readonly config: FarmConfig;
  /** For people, as in `builders: +unit -bench ~lint`. */
  readonly changes: readonly string[];
  /** Settings that are different and hold from the next start on. */
  readonly restart: readonly string[];
}

/** Where it lives and who is let in: decided once, at the start. */
const fixed = [
  'environment',
  'dataDir',
  'databaseUrl',
  'databaseSecret',
  'durability',
  'host',
  'port',
  'publicHosts',
  'tls',
  'behindProxy',
  'anonymous',
  'logLevel',
  'logFile',
  'compat',
] as const satisfies readonly (keyof FarmConfig)[];

const lists = ['repos', 'hostTypes', 'builders', 'pools', 'secrets'] as const;
const wholes = ['policies', 'dependents', 'lowWaterBytes', 'outputLimitBytes'] as const;
/** Names that are told of each list. */
const mostNames = 20;

export function compareConfigs(before: FarmConfig, after: FarmConfig): Comparison {
  const differs = (key: keyof FarmConfig): boolean => textOf(before[key]) !== textOf(after[key]);
  const kept = Object.fromEntries(fixed.map((key) => [key, before[key]])) as Pick<FarmConfig, (typeof fixed)[number]>;
  return {
    config: frozen({ ...after, ...kept }),
    changes: [...lists.flatMap((list) => changesIn(list, before[list], after[list])), ...wholes.filter(differs)],
    restart: fixed.filter(differs).map((key) => (key === 'databaseSecret' ? 'databaseUrl' : key)),
  };
}

type Named = readonly { readonly name: string }[];

function changesIn(list: string, before: Named, after: Named): string[] {
  const old = new Map(before.map((entry) => [entry.name, textOf(entry)]));
  const names = new Set(after.map(({ name }) => name));
  const marks = [
    ...after.filter(({ name }) => !old.has(name)).map(({ name }) => `+${name}`),
    ...before.filter(({ name }) => !names.has(name)).map(({ name }) => `-${name}`),
    ...after.filter((entry) => old.has(entry.name) && old.get(entry.name) !== textOf(entry)).map(({ name }) => `~${name}`),
  ];
  if (marks.length === 0) return [];
  const more = marks.length > mostNames ? ` and ${marks.length - mostNames} more` : '';
  return [`${list}: ${marks.slice(0, mostNames).join(' ')}${more}`];
}

/** Secrets would all look the same. */
function textOf(value: unknown): string {
  return value instanceof Secret ? value.reveal() : (JSON.stringify(value) ?? '');
}
