/** The coordinator as a program of its own: `--config FILE`. SIGTERM and SIGHUP detach (what runs goes on), SIGINT ends everything. */
import { readConfigFile } from '@croft/config/read-config';
import { runMain, type Main } from '@croft/runtime/run-main';
import { readArguments } from './config.ts';
import { createCoordinator } from './coordinator.ts';

await runMain(async (): Promise<Main> => {
  const { configFile, environment } = readArguments(process.argv.slice(2));
  const coordinator = await createCoordinator(await readConfigFile(configFile, { environment }), { env: process.env });
  process.stdout.write(`${coordinator.url}\n`);
  return {
    onSignal(name) {
      if (name === 'SIGINT') coordinator.endOnDispose();
    },
    [Symbol.asyncDispose]: () => coordinator[Symbol.asyncDispose](),
  };
});
