/** The builders of a farm, of all its repositories. */
import type { Waits } from '@croft/runtime/clock';
import type { Client } from '@croft/web/client';

export async function builderNames(client: Client, waits: Waits = {}): Promise<string[]> {
  const first = await client.call('grid.get', { query: {}, ...waits });
  const others = first.repos.filter((repo) => repo !== first.repo);
  const grids = await Promise.all(others.map((repo) => client.call('grid.get', { query: { repo }, ...waits })));
  return [...new Set([first, ...grids].flatMap(({ builders }) => builders))].toSorted();
}
