/** Containers of farms whose directory is gone: nobody will ever ask for them again, but only people can know that. */
import { access } from 'node:fs/promises';
import { systemCode } from '@croft/runtime/errors';
import { labelNames } from './docker-container.ts';
import type { Container } from './docker-daemon.ts';

/** @returns a sentence for each such farm, with what to do */
export async function findStrays(foreign: readonly Container[]): Promise<string[]> {
  const byDir = Map.groupBy(foreign, ({ labels }) => labels[labelNames.dir] ?? '');
  const told = await Promise.all(
    [...byDir].map(async ([dir, containers]) => {
      if (dir === '' || !(await isGone(dir))) return [];
      const ids = containers.map(({ id }) => id.slice(0, 12));
      return [`the farm of ${dir} is gone and its containers are still there; to remove them: docker rm -f ${ids.slice(0, 20).join(' ')}`];
    }),
  );
  return told.flat();
}

/** What cannot be read now may be there. */
async function isGone(dir: string): Promise<boolean> {
  return access(dir).then(
    () => false,
    (error: unknown) => systemCode(error) === 'ENOENT',
  );
}
