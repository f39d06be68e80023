/** The coordinator as a program of its own: `--config FILE`. SIGTERM and SIGHUP detach (what runs goes on), SIGINT ends everything. */
import { resolve } from 'node:path';
import { systemClock } from '@croft/runtime/clock';
import { keepCompiled } from '@croft/runtime/compile-cache';
import { runMain, type Main } from '@croft/runtime/run-main';

await runMain(async (): Promise<Main> => {
  keepCompiled();
  const [{ loadConfigFile }, { mistakesError }, { readArguments }, { createCoordinator }] = await Promise.all([
    import('@croft/config/read-config'),
    import('@croft/config/mistakes'),
    import('./config.ts'),
    import('./coordinator.ts'),
  ]);
  const { configFile: path, environment } = readArguments(process.argv.slice(2));
  const readAt = systemClock.now();
  const loaded = await loadConfigFile(path, { environment });
  if (loaded.kind === 'mistaken') throw mistakesError(path, loaded.mistakes);
  const coordinator = await createCoordinator(loaded.config, {
    env: process.env,
    source: { path: resolve(path), environment, files: loaded.files, readAt },
  });
  process.stdout.write(`${coordinator.url}\n`);
  return {
    onSignal(name) {
      if (name === 'SIGINT') coordinator.endOnDispose();
    },
    [Symbol.asyncDispose]: () => coordinator[Symbol.asyncDispose](),
  };
});
