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

/** `start`: decided once, at the start; `now`: holds at once; `names`: holds at once, and is told entry by entry. */
const holds = {
  environment: 'start',
  dataDir: 'start',
  databaseUrl: 'start',
  databaseSecret: 'start',
  durability: 'start',
  host: 'start',
  port: 'start',
  publicHosts: 'start',
  tls: 'start',
  behindProxy: 'start',
  anonymous: 'start',
  logLevel: 'start',
  logFile: 'start',
  compat: 'start',
  ssh: 'start',
  repos: 'names',
  hostTypes: 'names',
  builders: 'names',
  pools: 'names',
  secrets: 'names',
  policies: 'now',
  dependents: 'now',
  lowWaterBytes: 'now',
  outputLimitBytes: 'now',
  cacheBytes: 'now',
  githubLogins: 'now',
  sessions: 'now',
} as const satisfies Record<keyof FarmConfig, 'start' | 'now' | 'names'>;

type KeyThat<How> = { [Key in keyof FarmConfig]: (typeof holds)[Key] extends How ? Key : never }[keyof FarmConfig];

function keysThat<How extends 'start' | 'now' | 'names'>(how: How): KeyThat<How>[] {
  return (Object.keys(holds) as (keyof FarmConfig)[]).filter((key): key is KeyThat<How> => holds[key] === how);
}

/** Names that are told of each list. */
const mostNames = 20;

export function compareConfigs(before: FarmConfig, after: FarmConfig): Comparison {
  const differs = (key: keyof FarmConfig): boolean => textOf(before[key]) !== textOf(after[key]);
  const kept = Object.fromEntries(keysThat('start').map((key) => [key, before[key]])) as Pick<FarmConfig, KeyThat<'start'>>;
  const named = keysThat('names').flatMap((list) => changesIn(list, before[list], after[list]));
  return {
    config: frozen({ ...after, ...kept }),
    changes: [...named, ...keysThat('now').filter(differs)],
    restart: keysThat('start')
      .filter(differs)
      .map((key) => (key === 'databaseSecret' ? 'databaseUrl' : key)),
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
