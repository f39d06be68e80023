/** Starts the supervisor of a machine's buildlet, bundled as `supervise.mjs`, and runs it until a signal; then its buildlet has ended. */
import { mkdir } from 'node:fs/promises';
import { systemClock as clock } from '@croft/runtime/clock';
import { createLog } from '@croft/runtime/log';
import { systemRandom as random } from '@croft/runtime/random';
import { runMain } from '@croft/runtime/run-main';
import { conceal } from '../machine/conceal.ts';
import { lockStateDir } from '../state/lock.ts';
import { holdKey } from './held-key.ts';
import { createOffers } from './offers.ts';
import { readSettings } from './settings.ts';
import { supervise } from './supervise.ts';
import { openVersionFiles } from './version-files.ts';

await runMain(async () => {
  conceal(); // before there is a secret to read
  const { from, ca, proxies, dir, args, version, logLevel, pace } = readSettings(process.argv.slice(2), process.env);
  if (version) {
    process.stdout.write('supervisor of manifests of format 1\n');
    return { finished: Promise.resolve(), async [Symbol.asyncDispose]() {} };
  }
  await mkdir(dir, { recursive: true });
  const lock = await lockStateDir(dir);
  const log = createLog({ level: logLevel, service: 'supervisor' });
  const stopped = new AbortController();
  const deps = { files: openVersionFiles(dir), offers: createOffers({ from, ca, proxies, clock }), clock, random, log };
  const finished = supervise({ ...holdKey(args), ...pace }, deps, stopped);
  return {
    finished,
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await finished;
      await lock[Symbol.asyncDispose]();
    },
  };
});
