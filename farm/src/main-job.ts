/**
 * The main job: the services in one process, buildlets as their own, on this repository, another or the sample. Ctrl-C and the
 * terminal's end are the end of all of it; so is SIGTERM, but not for `npm run dev`, which starts it again.
 */
import { fileURLToPath } from 'node:url';
import { declaredMachines } from '@croft/config/farm-config';
import { readConfig } from '@croft/config/read-config';
import { createCoordinator } from '@croft-apps/coordinator/coordinator';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import { errorText } from '@croft/runtime/errors';
import type { Main } from '@croft/runtime/run-main';
import { createTaskGroup } from '@croft/runtime/tasks';
import { printBuilds } from './print-builds.ts';
import { ensureSampleProject } from './sample-project.ts';
import { readSettings, usage } from './settings.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export async function startMainJob(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Main> {
  const settings = readSettings(args, root);
  if (!settings) {
    process.stdout.write(`${usage}\n`);
    return { finished: Promise.resolve(), async [Symbol.asyncDispose]() {} };
  }
  if (settings.sample !== undefined) await ensureSampleProject(settings.sample);
  const config = readConfig({ ...settings.config, ssh: { orAnyPort: true } });
  const coordinator = await createCoordinator(config, { env });
  const [repo] = config.repos;
  const lines = [
    `Croft farms ${repo && parseRepositoryUrl(repo.url).shown}`,
    `  ${coordinator.url}/        commits and builds`,
    `  ${coordinator.url}/farm    machines and queue`,
    `  builders: ${config.builders.map((builder) => builder.name).join(', ')}; ${declaredMachines(config.pools)} at once`,
    `  data in ${config.dataDir}`,
    `  ${settings.foreign ? 'The code of that repository' : 'What is built'} runs as you, with your files and your network:`,
    '  there is no isolation on this machine.',
    ...(coordinator.ssh
      ? [`  ssh -p ${coordinator.ssh.port} SESSION@${coordinator.ssh.host}   a borrowed machine, as npx gomote ssh`]
      : []),
    '  Ctrl-C ends everything that was started.',
  ];
  process.stdout.on('error', () => undefined); // `| head` has read enough; the farm goes on
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  print(lines.join('\n'));
  const printing = createTaskGroup((_, error) => print(`  nothing more is printed here: ${errorText(error)}`));
  printing.start('print builds', ({ signal }) => printBuilds(coordinator.capabilities, print, { url: coordinator.url, signal }));
  return {
    onSignal(name) {
      if (name !== 'SIGTERM' || !settings.dev) coordinator.endOnDispose();
    },
    async [Symbol.asyncDispose]() {
      await printing[Symbol.asyncDispose]();
      await coordinator[Symbol.asyncDispose]();
    },
  };
}
