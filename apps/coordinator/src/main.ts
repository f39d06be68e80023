/** The coordinator as a program of its own: `--config FILE.json`. SIGTERM detaches (what runs goes on), SIGINT ends everything. */
import { parseArgs } from 'node:util';
import { CroftError } from '@croft/runtime/errors';
import { runMain, type Main } from '@croft/runtime/run-main';
import { readConfigFile } from './config.ts';
import { createCoordinator } from './coordinator.ts';

await runMain(async (): Promise<Main> => {
  const { values } = parseArgs({ options: { config: { type: 'string' } }, strict: false });
  if (typeof values.config !== 'string') {
    throw new CroftError('invalid', 'no configuration was given', { hint: 'Usage: node apps/coordinator/src/main.ts --config FILE.json' });
  }
  const coordinator = await createCoordinator(await readConfigFile(values.config), { env: process.env });
  process.stdout.write(`${coordinator.url}\n`);
  return {
    onSignal(name) {
      if (name === 'SIGINT') coordinator.endOnDispose();
    },
    [Symbol.asyncDispose]: () => coordinator[Symbol.asyncDispose](),
  };
});
