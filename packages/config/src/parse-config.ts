/** From what was written to the configuration, or to every mistake in it at once. Pure but for the directory that paths begin at. */
import { resolve } from 'node:path';
import type * as z from 'zod';
import { selects } from '@croft/domain/pattern';
import type { PolicyRule } from '@croft/domain/policy';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import { checkReferences, type Names } from './check-references.ts';
import { explainIssues, type Issue, type Path } from './explain-issues.ts';
import type { EnvironmentName, FarmConfig } from './farm-config.ts';
import { expandMatrix } from './matrix.ts';
import { ownContainerType, ownHostType } from './pool-schema.ts';
import { headSchema, listSchemas, type ListName, type ParsedBuilder } from './schema.ts';
import { compileBuilder, compilePool } from './compile.ts';

/** A part that is valid by itself, and where it was written. */
export interface Part<T> {
  readonly value: T;
  readonly path: Path;
}

export type BuilderPart = Part<ParsedBuilder> & { readonly variant: Readonly<Record<string, string>> };

export type Lists = {
  readonly [Name in Exclude<ListName, 'builders'>]: readonly Part<z.output<(typeof listSchemas)[Name]>>[];
} & { readonly builders: readonly BuilderPart[] };

export interface ParseOptions {
  readonly environment: EnvironmentName;
  /** Relative paths begin here. */
  readonly dir: string;
}

export type Parsed = { readonly config: FarmConfig } | { readonly issues: readonly Issue[] };

export function parseConfig(input: unknown, { environment, dir }: ParseOptions): Parsed {
  const issues: Issue[] = [];
  const tell = (issue: Issue): void => {
    const same = (other: Issue): boolean => other.message === issue.message && other.path.join('.') === issue.path.join('.');
    if (!issues.some(same)) issues.push(issue);
  };
  const head = headSchema.safeParse(input);
  if (!head.success) for (const issue of explainIssues(head.error, { schema: headSchema, input, at: [] })) tell(issue);
  const raw = asGroup(input);
  const lists = readLists(raw, tell);
  for (const issue of checkReferences(lists, namesIn(raw, lists))) tell(issue);
  const wanted = head.success ? head.data.databaseUrl : undefined;
  if (wanted !== undefined && 'secret' in wanted && !lists.secrets.some(({ value }) => value.name === wanted.secret)) {
    tell({ path: ['databaseUrl', 'secret'], message: `there is no secret "${wanted.secret}"` });
  }
  if (!head.success || issues.length > 0) return { issues };
  const { onlyBuilders = [], ...overlay } = asGroup(asGroup(raw['environments'])[environment]);
  const own = headSchema.parse({ ...raw, ...overlay });
  const patterns = typeof onlyBuilders === 'string' ? [onlyBuilders] : (onlyBuilders as readonly string[]);
  return { config: compile(own, lists, { environment, dir, runs: (name) => selects(patterns, name) }) };
}

function asGroup(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function listOf(raw: Readonly<Record<string, unknown>>, name: string): readonly unknown[] {
  const list = raw[name];
  return Array.isArray(list) ? list : [];
}

function readLists(raw: Readonly<Record<string, unknown>>, tell: (issue: Issue) => void): Lists {
  const read = <Name extends ListName>(name: Name, input: unknown, path: Path): Part<z.output<(typeof listSchemas)[Name]>>[] => {
    const schema = listSchemas[name];
    const result = schema.safeParse(input);
    if (result.success) return [{ value: result.data as z.output<(typeof listSchemas)[Name]>, path }];
    for (const issue of explainIssues(result.error, { schema, input, at: path })) tell(issue);
    return [];
  };
  const all = <Name extends ListName>(name: Name) => listOf(raw, name).flatMap((input, index) => read(name, input, [name, index]));
  return {
    repos: all('repos'),
    hostTypes: all('hostTypes'),
    pools: all('pools'),
    policies: all('policies'),
    dependents: all('dependents'),
    secrets: all('secrets'),
    builders: listOf(raw, 'builders').flatMap((input, index) => {
      const path = ['builders', index];
      if (input === null || typeof input !== 'object' || Array.isArray(input))
        return read('builders', input, path).map((part) => ({ ...part, variant: {} }));
      return expandMatrix(asGroup(input), path, tell).flatMap(({ input: one, variant }) =>
        read('builders', one, path).map((part) => ({ ...part, variant })),
      );
    }),
  };
}

function namesIn(raw: Readonly<Record<string, unknown>>, { builders }: Lists): Names {
  const texts = (
    list: string,
    setting: string,
    otherwise: (entry: Readonly<Record<string, unknown>>) => unknown = () => undefined,
  ): string[] =>
    listOf(raw, list).flatMap((entry) => {
      const text = asGroup(entry)[setting] ?? otherwise(asGroup(entry));
      return typeof text === 'string' ? [text] : [];
    });
  return {
    repos: texts('repos', 'name'),
    hostTypes: texts('hostTypes', 'name'),
    secrets: texts('secrets', 'name'),
    builders: [...texts('builders', 'name'), ...builders.map(({ value }) => value.name)],
    poolKinds: texts('pools', 'kind'),
    served: texts('pools', 'hostType', ({ kind }) => (kind === 'docker' ? ownContainerType : ownHostType)),
  };
}

interface Compiling extends ParseOptions {
  runs(builder: string): boolean;
}

function compile(head: z.output<typeof headSchema>, lists: Lists, { environment, dir, runs }: Compiling): FarmConfig {
  const { environments: _, dataDir, databaseUrl, tls, logFile, compat, ssh, ...settings } = head;
  const hostTypes = lists.hostTypes.map(({ value }) => value);
  return {
    ...settings,
    environment,
    databaseUrl: databaseUrl && 'reveal' in databaseUrl ? databaseUrl : undefined,
    databaseSecret: databaseUrl && 'secret' in databaseUrl ? databaseUrl.secret : undefined,
    compat: { ...compat, masterKeyFile: compat.masterKeyFile === undefined ? undefined : resolve(dir, compat.masterKeyFile) },
    dataDir: resolve(dir, dataDir),
    logFile: logFile === undefined ? undefined : resolve(dir, logFile),
    ssh: ssh && { host: ssh.host, port: ssh.port, orAnyPort: ssh.orAnyPort, publicHost: ssh.publicHost },
    githubLogins: ssh?.github ?? {},
    tls: tls && { certFile: resolve(dir, tls.certFile), keyFile: resolve(dir, tls.keyFile) },
    repos: lists.repos.map(({ value: { hookSecret, ...repo } }) => ({ ...repo, url: absoluteUrl(repo.url, dir), hookSecret })),
    hostTypes,
    builders: lists.builders.map((part) => compileBuilder(part, hostTypes)).filter(({ name }) => runs(name)),
    pools: lists.pools.map(({ value }) => compilePool(value, hostTypes)),
    policies: lists.policies.map(({ value: { why, ...rule } }): PolicyRule => ({ ...rule, why })),
    dependents: lists.dependents.map(({ value }) => value),
    secrets: lists.secrets.map(({ value: { name, from } }) => ({ name, from: 'file' in from ? { file: resolve(dir, from.file) } : from })),
  };
}

function absoluteUrl(url: string, dir: string): string {
  const { kind } = parseRepositoryUrl(url);
  return kind === 'local' && !/^[a-z]+:/i.test(url) ? resolve(dir, url) : url;
}
