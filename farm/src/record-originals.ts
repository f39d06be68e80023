/** Records what Go's `fetchlogs` and `retrybuilds` of 2017 say and hear, for the tests that have no Go: `node farm/src/record-originals.ts`. */
import { writeFile } from 'node:fs/promises';
import { exchangesDir } from '@croft-apps/coordinator/testing';
import { buildOriginals, recordExchanges } from './testing-originals.ts';

await using originals = await ready();
for (const [name, exchanges] of Object.entries(await recordExchanges(originals))) {
  await writeFile(new URL(`${name}.json`, exchangesDir), `${JSON.stringify(exchanges, null, 2)}\n`);
}

async function ready(): Promise<Extract<Awaited<ReturnType<typeof buildOriginals>>, AsyncDisposable>> {
  const built = await buildOriginals();
  if ('missing' in built) throw new Error(built.missing);
  return built;
}
