/** What parts of a configuration give each other: a host type its labels and variables to the pools and builders that name it. */
import type { Builder, Needs } from '@croft/domain/job';
import type { HostType, Pool } from './farm-config.ts';
import type { BuilderPart } from './parse-config.ts';
import { isolatedLabel } from './schema-parts.ts';

/**
 * A host type's name is a label of its machines; so a builder gets one of them by needing it. What must be kept apart needs the label
 * that only pools have which can do that; whoever is not trusted must be.
 */
export function compileBuilder({ value, variant }: BuilderPart, hostTypes: readonly HostType[]): Builder {
  const { repo, repos, hostType, needs, ...rest } = value;
  const host = hostTypes.find(({ name }) => name === hostType);
  const isolated = value.isolation === 'container' || value.trust === 'untrusted' ? [isolatedLabel] : [];
  const { cpus, memoryBytes } = needs;
  const wanted: Needs = {
    labels: [...new Set([...(hostType === undefined ? [] : [hostType]), ...needs.labels, ...isolated])],
    ...(cpus === undefined ? {} : { cpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  };
  return {
    ...rest,
    repos: [...new Set([...(repo === undefined ? [] : [repo]), ...repos])],
    hostType,
    needs: wanted,
    env: { ...host?.env, ...value.env },
    variant,
  };
}

export function compilePool(pool: Pool, hostTypes: readonly HostType[]): Pool {
  const host = hostTypes.find(({ name }) => name === pool.hostType);
  const isolated = pool.kind === 'docker' ? [isolatedLabel] : [];
  return { ...pool, labels: [...new Set([...pool.labels, ...(host?.labels ?? []), pool.hostType, ...isolated])] };
}
