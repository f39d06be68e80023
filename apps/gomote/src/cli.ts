/** The commands of `gomote`. */
import { createCli, type Family, type RunCli } from '@croft/cli/program';
import { withGoFlags } from './go-flags.ts';

const help = `
  gomote create linux                  # borrow a machine: prints ann-linux-0
  gomote push ann-linux-0              # send this repository there
  gomote run ann-linux-0 make test     # run a command in it
  gomote ssh ann-linux-0               # or a shell
  gomote destroy ann-linux-0           # give it back

Options may be written with one dash or two. Where an instance is named, the active group (-group, GOMOTE_GROUP) is meant without it.
Exit status: 0 done, 1 it could not be done, 2 wrong use, 3 the farm cannot be reached, 4 not allowed, 130 interrupted; gomote run, attach and ssh
hand on that of the command.
Environment: CROFT_SERVER and CROFT_TOKEN stand for --server and --token; GOMOTE_GROUP for --group; NO_COLOR turns colours off.`;

const families: readonly Family[] = [
  {
    commands: {
      create: 'borrow a machine of a builder; prints its name',
    },
    load: async () => (await import('./commands/create.ts')).addCreate,
  },
  {
    commands: {
      list: 'list your instances and those shared with you',
      ping: 'see whether an instance, or each of the group, is alive; it then lives on',
      destroy: 'give an instance back, or all of the group; its machine is cleaned',
      extend: 'keep an instance for so long from now on, used or not',
      share: 'let these people, and nobody else, use it as you do',
      note: 'say what it is for, to all who see it',
    },
    load: async () => (await import('./commands/sessions.ts')).addSessions,
  },
  {
    commands: {
      push: 'make a directory of a machine like one here, sending only what differs',
    },
    load: async () => (await import('./commands/push.ts')).addPush,
  },
  {
    commands: {
      run: 'run a command; its exit status becomes ours',
    },
    load: async () => (await import('./commands/run.ts')).addRun,
  },
  {
    commands: {
      attach: 'follow a command that was left running, from its first byte; its exit status becomes ours',
    },
    load: async () => (await import('./commands/attach.ts')).addAttach,
  },
  {
    commands: {
      ssh: 'a shell on a machine in the environment of a build, or a command there, by the stock ssh',
    },
    load: async () => (await import('./commands/ssh.ts')).addSsh,
  },
  {
    commands: {
      forward: 'reach a port of a machine’s loopback address through a port here, until Ctrl-C',
      rdp: 'reach the remote desktop of a machine, which is port 3389',
    },
    load: async () => (await import('./commands/forward.ts')).addForward,
  },
  {
    commands: {
      ls: 'list a directory of a machine: mode, name, size, time',
      rm: 'remove files and directories of a machine; "." is everything',
      gettar: 'fetch a directory of a machine as a tar.gz',
    },
    load: async () => (await import('./commands/files.ts')).addFiles,
  },
  {
    commands: {
      put: 'write a file to a machine; - is standard input',
      puttar: 'unpack a tar.gz on a machine: of standard input (-), a file, an address, or a commit of this repository',
    },
    hidden: ['put14', 'putbootstrap'],
    load: async () => (await import('./commands/put.ts')).addPut,
  },
  {
    commands: {
      group: 'make, change and list groups of instances',
    },
    load: async () => (await import('./commands/group.ts')).addGroup,
  },
  {
    commands: {
      repro: 'borrow a machine with the source and variables of a build, on which the steps before the failed one were run',
      hold: 'keep the machine of a build’s last attempt for you, all as it lies',
      unhold: 'let go of the machine of a build',
    },
    load: async () => (await import('./commands/builds.ts')).addBuilds,
  },
  {
    commands: {
      login: 'remember the address of a farm, and a token for it that is read from standard input',
    },
    load: async () => (await import('./commands/login.ts')).addLogin,
  },
  {
    commands: {
      completion: 'print what makes a shell complete gomote’s commands',
    },
    hidden: ['complete'],
    load: async () => (await import('./names.ts')).addGomoteCompletion,
  },
];

/** Hidden ones too. */
export const commandNames: readonly string[] = families.flatMap(({ commands, hidden = [] }) => [...Object.keys(commands), ...hidden]);

export const runCli: RunCli = createCli({
  name: 'gomote',
  about: 'Borrow machines of a Croft build farm.',
  version: async () => (await import('@croft/cli/version')).versionOf(import.meta.url),
  help,
  commands: families,
  options: (program) => void program.option('--group <name>', 'the instances that are meant where none is named').enablePositionalOptions(),
  read: withGoFlags,
});
