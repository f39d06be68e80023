/** The commands of `gomote`. */
import { createCli, type RunCli } from '@croft/cli/program';
import { addAttach } from './commands/attach.ts';
import { addBuilds } from './commands/builds.ts';
import { addCreate } from './commands/create.ts';
import { addFiles } from './commands/files.ts';
import { addForward } from './commands/forward.ts';
import { addGroup } from './commands/group.ts';
import { addLogin } from './commands/login.ts';
import { addPush } from './commands/push.ts';
import { addPut } from './commands/put.ts';
import { addRun } from './commands/run.ts';
import { addSsh } from './commands/ssh.ts';
import { addSessions } from './commands/sessions.ts';
import { withGoFlags } from './go-flags.ts';
import { addGomoteCompletion } from './names.ts';

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

export const runCli: RunCli = createCli({
  name: 'gomote',
  about: 'Borrow machines of a Croft build farm.',
  help,
  commands: [
    addCreate,
    addSessions,
    addPush,
    addRun,
    addAttach,
    addSsh,
    addForward,
    addFiles,
    addPut,
    addGroup,
    addBuilds,
    addLogin,
    addGomoteCompletion,
  ],
  options: (program) => void program.option('--group <name>', 'the instances that are meant where none is named').enablePositionalOptions(),
  read: withGoFlags,
});
