/** `croft machines`: take a machine out of work, give it back, declare it lost. `croft farm` lists them. */
import type { Command } from 'commander';
import type { Cli, GlobalOptions, Run } from '@croft/cli/program';
import { connect } from '@croft/cli/connect';
import { printable } from '@croft/cli/terminal';

type Verb = 'drain' | 'undrain' | 'lose';

const verbs: Record<Verb, { readonly does: string; readonly done: string }> = {
  drain: { does: 'let a machine end what it does and give it nothing new', done: 'takes no more work' },
  undrain: { does: 'give a machine work again', done: 'takes work again' },
  lose: { does: 'declare a machine lost now: what it does runs elsewhere', done: 'is declared lost' },
};

export function addMachines(program: Command, cli: Cli, run: Run): void {
  const machines = program.command('machines');
  for (const verb of Object.keys(verbs) as Verb[]) {
    const command = machines
      .command(`${verb} <machine>`)
      .description(verbs[verb].does)
      .addHelpText('after', `\n  croft farm\n  croft machines ${verb} rack-mini01${verb === 'undrain' ? '' : ' --why "new disk"'}`)
      .action((machine: string, _, self: Command) => run(() => seeTo({ verb, machine }, self.optsWithGlobals(), cli)));
    if (verb !== 'undrain') command.option('--why <text>', 'for the farm’s page and the audit trail', 'no reason given');
  }
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
