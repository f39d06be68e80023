/** What no schema sees: names that nobody has, names that two have, work that no pool can take, rules that can never decide. */
import { hiddenRules } from '@croft/domain/policy';
import { idlePatterns, isLiteral } from '@croft/domain/pattern';
import type { Issue, Path } from './explain-issues.ts';
import { nearestName } from './nearest-name.ts';
import { ownHostTypes } from './pool-schema.ts';
import type { Lists, Part } from './parse-config.ts';

/** Every name that was written, also those of entries with mistakes of their own: no mistake makes another. */
export interface Names {
  readonly repos: readonly string[];
  readonly hostTypes: readonly string[];
  readonly builders: readonly string[];
  readonly secrets: readonly string[];
  /** Host types that pools have machines of. */
  readonly served: readonly string[];
  readonly poolKinds: readonly string[];
}

export function checkReferences(lists: Lists, names: Names): Issue[] {
  const unknown =
    (what: string, all: readonly string[]) =>
    (name: string | undefined, path: Path): Issue[] =>
      name === undefined || all.includes(name)
        ? []
        : [{ path, message: `there is no ${what} "${name}"${thereAre(all)}`, nearest: nearestName(name, all) }];
  const repo = unknown('repository', names.repos);
  const hostType = unknown('host type', [...names.hostTypes, ...ownHostTypes]);
  const secret = unknown('secret', names.secrets);
  const secretsOf = (secrets: Readonly<Record<string, string>>, path: Path): Issue[] =>
    Object.entries(secrets).flatMap(([variable, name]) => secret(name, [...path, 'secrets', variable]));
  return [
    ...lists.repos.flatMap(({ value, path }) => secret(value.hookSecret, [...path, 'hookSecret'])),
    ...lists.builders.flatMap(({ value, path }) => [
      ...(value.repo === undefined ? [] : repo(value.repo, [...path, 'repo'])),
      ...value.repos.flatMap((name, index) => repo(name, [...path, 'repos', index])),
      ...(value.repo === undefined && value.repos.length === 0
        ? [{ path: [...path, 'repo'], message: 'is missing: which repository does it build?' }]
        : []),
      ...hostType(value.hostType, [...path, 'hostType']),
      ...secretsOf(value.secrets, path),
      ...value.services.flatMap((service, index) => secretsOf(service.secrets, [...path, 'services', index])),
      ...(value.steps === 'detect' ? [] : value.steps.flatMap((step, index) => secretsOf(step.secrets, [...path, 'steps', index]))),
      ...isolated(value, path, names.poolKinds),
      ...containers(value, path),
      ...clashing(value, path),
    ]),
    ...lists.pools.flatMap(({ value, path }) => hostType(value.hostType, [...path, 'hostType'])),
    ...sameArrivals(lists),
    ...lists.dependents.flatMap(({ value, path }) => [
      ...repo(value.toolchain, [...path, 'toolchain']),
      ...value.repos.flatMap((name, index) => repo(name, [...path, 'repos', index])),
      ...value.repos.flatMap((name, index) =>
        name === value.toolchain ? [{ path: [...path, 'repos', index], message: 'is its own toolchain' }] : [],
      ),
    ]),
    ...unserved(lists, names),
    ...idleRules(lists, names),
    ...(['repos', 'hostTypes', 'builders', 'pools', 'secrets'] as const).flatMap((list) => twice(lists[list])),
  ];
}

/** Whoever dials in says what it is, and not where it belongs. */
function sameArrivals({ pools }: Lists): Issue[] {
  const dialled = pools.filter(({ value }) => value.kind === 'reverse');
  return dialled.flatMap(({ value, path }, index) =>
    dialled.findIndex((other) => other.value.hostType === value.hostType) === index
      ? []
      : [{ path: [...path, 'hostType'], message: `another pool takes the machines of "${value.hostType}" that dial in` }],
  );
}

function thereAre(names: readonly string[]): string {
  if (names.length === 0) return '; there is none';
  return names.length > 12 ? '' : `; there are: ${names.join(', ')}`;
}

/** What no pool can do is refused and not forgotten. */
function isolated({ isolation, trust }: Lists['builders'][number]['value'], path: Path, kinds: Names['poolKinds']): Issue[] {
  if (isolation === 'vm') return [{ path: [...path, 'isolation'], message: 'no kind of pool has machines of its own for each build yet' }];
  if ((isolation === 'none' && trust === 'trusted') || kinds.includes('docker')) return [];
  const field = isolation === 'none' ? 'trust' : 'isolation';
  return [{ path: [...path, field], message: 'no pool can isolate what it runs; one of the kind docker can' }];
}

/** On any machine it would wait for a label that is of no use, or be skipped. */
function containers({ services }: Lists['builders'][number]['value'], path: Path): Issue[] {
  return services.flatMap(({ image }, index) => {
    const message = 'no kind of pool runs containers beside the steps yet; give argv, on a Docker pool of a program in its image';
    return image === undefined ? [] : [{ path: [...path, 'services', index, 'image'], message }];
  });
}

/** Of two things under one name the second would be nowhere. */
function clashing({ services, artifacts }: Lists['builders'][number]['value'], path: Path): Issue[] {
  const first = new Map<string, string>();
  const alike = services.flatMap(({ name }, index) => {
    const variable = `SERVICE_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}_PORT`;
    const before = first.get(variable) ?? name;
    first.set(variable, before);
    const at = [...path, 'services', index, 'name'];
    return before === name ? [] : [{ path: at, message: `"${name}" would be found by ${variable}, as "${before}" is` }];
  });
  const logs = artifacts.flatMap(({ name }, index) => {
    const service = services.find((one) => `service-${one.name}` === name);
    const at = [...path, 'artifacts', index, 'name'];
    return service ? [{ path: at, message: `"${name}" is what the log of the service "${service.name}" is called` }] : [];
  });
  return [...alike, ...logs];
}

function unserved({ builders }: Lists, { hostTypes, served }: Names): Issue[] {
  const unused = [...new Set([...hostTypes, ...ownHostTypes])].filter((name) => !served.includes(name));
  return unused.flatMap((hostType) => {
    const first = builders.find(({ value }) => value.hostType === hostType);
    return first ? [{ path: [...first.path, 'hostType'], message: `no pool has machines of the host type "${hostType}"` }] : [];
  });
}

/** A rule with names that nobody has, or behind one that takes everything it could match. */
function idleRules({ policies }: Lists, names: Names): Issue[] {
  const hidden = hiddenRules(policies.map(({ value }) => value)).map(({ rule, by }): Issue => {
    const earlier = policies[by]?.path.at(-1);
    return { path: policies[rule]?.path ?? [], message: `can never decide: policies.${String(earlier)} matches everything that it does` };
  });
  const idle = policies.flatMap(({ value, path }) =>
    (['builders', 'repos'] as const).flatMap((list) =>
      idlePatterns(value[list], names[list]).map((pattern): Issue => {
        const nearest = isLiteral(pattern.replace(/^!/, '')) ? nearestName(pattern.replace(/^!/, ''), names[list]) : undefined;
        return {
          path: [...path, list],
          message: `"${pattern}" can never match: there is no such ${list === 'repos' ? 'repository' : 'builder'}`,
          nearest,
        };
      }),
    ),
  );
  return [...hidden, ...idle];
}

function twice(entries: readonly Part<{ readonly name: string }>[]): Issue[] {
  const first = new Map<string, Path>();
  return entries.flatMap(({ value: { name }, path }) => {
    const before = first.get(name);
    if (!before) first.set(name, path);
    return before ? [{ path: [...path, 'name'], message: `"${name}" is there twice, first as ${before.join('.')}` }] : [];
  });
}
