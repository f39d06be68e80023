/** Starts a buildlet and runs it until SIGTERM, `/halt`, or until no coordinator has been heard for too long. */
import { systemClock } from '@croft/runtime/clock';
import { createLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { runMain } from '@croft/runtime/run-main';
import { createBuildlet } from './buildlet.ts';
import { readConfig } from './config.ts';
import { messages } from './events.ts';
import { conceal } from './machine/conceal.ts';
import { buildletVersion, goPlatform } from './machine/platform.ts';
import { findSupervisor } from './machine/supervisor.ts';

await runMain(async () => {
  const concealed = conceal(); // before there is a secret to read
  const config = await readConfig(process.argv.slice(2), process.env, { clock: systemClock });
  if (config.version) {
    process.stdout.write(`buildlet version ${buildletVersion} (${goPlatform()})\n`);
    return { finished: Promise.resolve(), async [Symbol.asyncDispose]() {} };
  }
  const log = createLog({ ...config.log, service: 'buildlet' });
  log.info(messages.started, { pid: process.pid, concealed });
  return createBuildlet(config, {
    clock: systemClock,
    random: systemRandom,
    log,
    environment: process.env,
    supervisor: findSupervisor(process),
  });
});
