/** The coordinator as a program of its own: `--config FILE`. SIGTERM and SIGHUP detach (what runs goes on), SIGINT ends everything. */
import { keepCompiled } from '@croft/runtime/compile-cache';
import { runMain, type Main } from '@croft/runtime/run-main';

await runMain(async (): Promise<Main> => {
  keepCompiled();
  const [{ readConfigFile }, { readArguments }, { createCoordinator }] = await Promise.all([
    import('@croft/config/read-config'),
    import('./config.ts'),
    import('./coordinator.ts'),
  ]);
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
