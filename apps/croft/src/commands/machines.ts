/** `croft machines`: list them all, take one out of work, give it back, declare it lost. */
import type { Command } from 'commander';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import type { MachineView } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import { connect } from '@croft/cli/connect';
import { printable } from '@croft/cli/terminal';
import { machineTable } from './farm.ts';

type Verb = 'drain' | 'undrain' | 'lose';

const verbs: Record<Verb, { readonly does: string; readonly done: string }> = {
  drain: { does: 'let a machine end what it does and give it nothing new', done: 'takes no more work' },
  undrain: { does: 'give a machine work again', done: 'takes work again' },
  lose: { does: 'declare a machine lost now: what it does runs elsewhere', done: 'is declared lost' },
};

export function addMachines(program: Command, cli: Cli, run: Run): void {
  const machines = program.command('machines');
  machines
    .command('list [words...]')
    .description('list all machines, or those in whose name, pool, host type or labels all the words stand')
    .option('--state <state>', 'only those that are ready, busy or away')
    .addHelpText('after', '\n  croft machines list darwin arm64\n  croft machines list --state away --json | jq -r ".machines[].id"')
    .action((words: string[], _, self: Command) => run(() => list(words, self.optsWithGlobals(), cli)));
  for (const verb of Object.keys(verbs) as Verb[]) {
    const command = machines
      .command(`${verb} <machine>`)
      .description(verbs[verb].does)
      .addHelpText('after', `\n  croft farm\n  croft machines ${verb} rack-mini01${verb === 'undrain' ? '' : ' --why "new disk"'}`)
      .action((machine: string, _, self: Command) => run(() => seeTo({ verb, machine }, self.optsWithGlobals(), cli)));
    if (verb !== 'undrain') command.option('--why <text>', 'for the farm’s page and the audit trail', 'no reason given');
  }
}

/** All pages of them. */
async function list(words: readonly string[], { state, ...given }: GlobalOptions & { readonly state?: string }, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  if (state !== undefined && !isState(state)) throw new CroftError('invalid', `machines are ${states.join(', ')}, not "${state}"`);
  const machines: MachineView[] = [];
  for (let after: string | undefined, more = true; more;) {
    const query = {
      find: words.join(' '),
      limit: 500,
      ...(state === undefined ? {} : { state }),
      ...(after === undefined ? {} : { after }),
    };
    const page = await client.call('machine.list', { query });
    machines.push(...page.machines);
    after = page.next;
    more = after !== undefined;
  }
  if (given.json) return cli.stdout.write(`${JSON.stringify({ machines })}\n`);
  if (machines.length === 0) return cli.stderr.write('no machines\n');
  await cli.stdout.write(machineTable(machines, cli));
}

const states = ['ready', 'busy', 'away'] as const;

function isState(text: string): text is (typeof states)[number] {
  return (states as readonly string[]).includes(text);
}

interface Wish {
  readonly verb: Verb;
  readonly machine: string;
}

type Options = GlobalOptions & { readonly why?: string };

async function seeTo({ verb, machine }: Wish, { why = 'no reason given', ...given }: Options, cli: Cli): Promise<void> {
  const client = await connect(given, cli);
  const params = { machine };
  const state =
    verb === 'undrain' ? await client.call('machine.undrain', { params }) : await client.call(`machine.${verb}`, { params, body: { why } });
  await cli.stdout.write(given.json ? `${JSON.stringify(state)}\n` : `${printable(state.id)} ${verbs[verb].done}\n`);
}
