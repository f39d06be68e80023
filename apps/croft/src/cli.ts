/** The commands of `croft`. */
import { createCli, type RunCli } from '@croft/cli/program';
import { addArtifacts } from './commands/artifacts.ts';
import { addAudit } from './commands/audit.ts';
import { addBuilds } from './commands/builds.ts';
import { addCancel } from './commands/cancel.ts';
import { addConfig } from './commands/config.ts';
import { addFarm } from './commands/farm.ts';
import { addGrid } from './commands/grid.ts';
import { addInit } from './commands/init.ts';
import { addLog } from './commands/log.ts';
import { addNotify } from './commands/notify.ts';
import { addRecords } from './commands/records.ts';
import { addRetry } from './commands/retry.ts';
import { addRetrybuilds } from './commands/retrybuilds.ts';
import { addRun } from './commands/run.ts';
import { addShow } from './commands/show.ts';
import { addKey } from './commands/key.ts';
import { addMachines } from './commands/machines.ts';
import { addToken } from './commands/token.ts';
import { addCroftCompletion } from './farm-names.ts';

const help = `
Exit status: 0 done, 1 the build failed or it could not be done, 2 wrong use, 3 the farm cannot be reached, 4 not allowed,
130 interrupted.
Environment: CROFT_SERVER and CROFT_TOKEN stand for --server and --token; NO_COLOR turns colours off.`;

export const runCli: RunCli = createCli({
  name: 'croft',
  about: 'Talk to a Croft build farm.',
  help,
  commands: [
    addBuilds,
    addShow,
    addLog,
    addArtifacts,
    addRetry,
    addRetrybuilds,
    addCancel,
    addNotify,
    addGrid,
    addFarm,
    addRecords,
    addAudit,
    addToken,
    addKey,
    addMachines,
    addConfig,
    addInit,
    addRun,
    addCroftCompletion,
  ],
});
