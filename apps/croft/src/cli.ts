/** The commands of `croft`. */
import { createCli, type Family, type RunCli } from '@croft/cli/program';

const help = `
Exit status: 0 done, 1 the build failed or it could not be done, 2 wrong use, 3 the farm cannot be reached, 4 not allowed,
130 interrupted.
Environment: CROFT_SERVER and CROFT_TOKEN stand for --server and --token; NO_COLOR turns colours off.`;

const families: readonly Family[] = [
  {
    commands: {
      builds: 'list builds, newest first',
    },
    load: async () => (await import('./commands/builds.ts')).addBuilds,
  },
  {
    commands: {
      show: 'show a build with its attempts and steps',
    },
    load: async () => (await import('./commands/show.ts')).addShow,
  },
  {
    commands: {
      log: 'print the log of a build’s last attempt, byte for byte',
    },
    load: async () => (await import('./commands/log.ts')).addLog,
  },
  {
    commands: {
      artifacts: 'list what a build has left behind, or download it',
    },
    load: async () => (await import('./commands/artifacts.ts')).addArtifacts,
  },
  {
    commands: {
      retry: 'queue ended builds again: those named, or all that a query finds; old attempts are kept',
    },
    load: async () => (await import('./commands/retry.ts')).addRetry,
  },
  {
    commands: {
      retrybuilds: 'clear failures so that they are built again; one choice: --loghash, --substr, --redo-flaky or --builder',
    },
    load: async () => (await import('./commands/retrybuilds.ts')).addRetrybuilds,
  },
  {
    commands: {
      cancel: 'end builds that wait or run: those named, or all that a query finds',
    },
    load: async () => (await import('./commands/cancel.ts')).addCancel,
  },
  {
    commands: {
      notify: 'look for new commits now',
    },
    load: async () => (await import('./commands/notify.ts')).addNotify,
  },
  {
    commands: {
      grid: 'show how the newest commits of a branch stand on each builder',
      builders: 'list builders, each with its newest build of a branch',
    },
    load: async () => (await import('./commands/grid.ts')).addGrid,
  },
  {
    commands: {
      farm: 'show machines, what runs and waits and why, disk, and what is wrong',
      repos: 'list what is farmed and when it was last fetched',
    },
    load: async () => (await import('./commands/farm.ts')).addFarm,
  },
  {
    commands: {
      records: 'list the events of a build’s attempts and how long each span took',
    },
    hidden: ['events'],
    load: async () => (await import('./commands/records.ts')).addRecords,
  },
  {
    commands: {
      audit: 'list who asked for what change, newest first; for admins',
      whoami: 'say who the farm takes you for, and what you may do',
    },
    load: async () => (await import('./commands/audit.ts')).addAudit,
  },
  {
    commands: {
      token: 'make, list and revoke tokens',
    },
    load: async () => (await import('./commands/token.ts')).addToken,
  },
  {
    commands: {
      key: 'make, list and revoke keys of machines that dial in',
    },
    load: async () => (await import('./commands/key.ts')).addKey,
  },
  {
    commands: {
      machines: 'list machines; take one out of work, give it back, or declare it lost',
    },
    load: async () => (await import('./commands/machines.ts')).addMachines,
  },
  {
    commands: {
      config: 'look at a configuration',
    },
    load: async () => (await import('./commands/config.ts')).addConfig,
  },
  {
    commands: {
      init: 'write the configuration that would be used for this repository',
    },
    load: async () => (await import('./commands/init.ts')).addInit,
  },
  {
    commands: {
      run: 'run a builder’s steps on your working tree, exactly as the farm would',
    },
    load: async () => (await import('./commands/run.ts')).addRun,
  },
  {
    commands: {
      completion: 'print what makes a shell complete croft’s commands',
    },
    hidden: ['complete'],
    load: async () => (await import('./farm-names.ts')).addCroftCompletion,
  },
];

/** Hidden ones too. */
export const commandNames: readonly string[] = families.flatMap(({ commands, hidden = [] }) => [...Object.keys(commands), ...hidden]);

export const runCli: RunCli = createCli({
  name: 'croft',
  about: 'Talk to a Croft build farm.',
  version: async () => (await import('@croft/cli/version')).versionOf(import.meta.url),
  help,
  commands: families,
});
