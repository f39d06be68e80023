/** `gomote list`, `ping`, `destroy`, `extend`, `share` and `note`: sessions as records. */
import type { Command } from 'commander';
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import { exitCodes } from '@croft/cli/exit-codes';
import type { Cli, Run } from '@croft/cli/program';
import { printable } from '@croft/cli/terminal';
import { goDuration, parseDuration } from '../durations.ts';
import { chooseInstances, chooseOne, mustRead, ping } from '../instances.ts';
import { openWorld, type GomoteOptions, type World } from '../world.ts';

interface ListOptions extends GomoteOptions {
  readonly all?: boolean;
}

interface PingOptions extends GomoteOptions {
  readonly status?: boolean;
}

interface DestroyOptions extends GomoteOptions {
  readonly destroyGroup?: boolean;
}

export function addSessions(program: Command, cli: Cli, run: Run): void {
  program
    .command('list')
    .option('--all', 'everybody’s, with who holds them')
    .addHelpText('after', '\nA line is NAME, BUILDER, HOST TYPE and when it expires, with tabs between.')
    .action((_, command: Command) => run(() => list(command.optsWithGlobals(), cli)));
  program
    .command('ping [instance]')
    .option('--status', 'also show what the machine says of itself')
    .action((name: string | undefined, _, command: Command) => run(() => pingAll(name, command.optsWithGlobals(), cli)));
  program
    .command('destroy [instance]')
    .option('--destroy-group', 'also remove the group')
    .action((name: string | undefined, _, command: Command) => run(() => destroy(name, command.optsWithGlobals(), cli)));
  program
    .command('extend <words...>')
    .usage('[instance] <time>')
    .addHelpText('after', '\n  gomote extend ann-linux-0 2h')
    .action((words: string[], _, command: Command) => run(() => extend(words, command.optsWithGlobals(), cli)));
  program
    .command('share <words...>')
    .usage('[instance] <person...>')
    .addHelpText('after', '\n  gomote share ann-linux-0 bob eve\n  gomote share ann-linux-0 -          # nobody any more')
    .action((words: string[], _, command: Command) => run(() => share(words, command.optsWithGlobals(), cli)));
  program
    .command('note <words...>')
    .usage('[instance] <text>')
    .action((words: string[], _, command: Command) => run(() => note(words, command.optsWithGlobals(), cli)));
}

async function list({ all, ...given }: ListOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const { client, json, group } = world;
  if (group?.from === 'flag') await mustRead(world); // all are listed, but a mistyped name is told as by every command
  const { sessions } = await client.call('session.list', { query: all ? {} : { mine: '1' } });
  if (json) return cli.stdout.write(`${JSON.stringify({ sessions })}\n`);
  await cli.stdout.write(sessions.map((session) => sessionLine(session, cli.clock.now(), all)).join(''));
  if (sessions.length === 0) await cli.stderr.write('no instances; gomote create -list tells what there is to borrow\n');
}

/** As Go's tools print it, for whoever cuts columns. */
export function sessionLine(session: SessionView, now: number, withOwner = false): string {
  const { alias, builder, hostType, state, expiresAt, note: text, owner } = session;
  const time = state === 'active' && expiresAt !== undefined ? `expires in ${goDuration(expiresAt - now)}` : state;
  const more = [...(withOwner ? [owner] : []), ...(text === '' ? [] : [text])];
  return `${[alias, builder, hostType ?? '', time, ...more].map(printable).join('\t')}\n`;
}

async function pingAll(name: string | undefined, { status, ...given }: PingOptions, cli: Cli): Promise<number> {
  const world = await openWorld(given, cli);
  const names = name === undefined ? (await mustRead(world)).instances : [name];
  const results = await Promise.all(names.map((one) => pingOne(one, { status }, world)));
  if (world.json) await cli.stdout.write(`${JSON.stringify({ instances: results })}\n`);
  return results.every(({ alive }) => alive) ? exitCodes.ok : exitCodes.failed;
}

interface Pinged {
  readonly instance: string;
  readonly alive: boolean;
  readonly error?: string;
  readonly workDir?: string;
  readonly status?: unknown;
}

async function pingOne(name: string, { status }: { status: boolean | undefined }, world: World): Promise<Pinged> {
  const { cli, json } = world;
  const say = async (text: string): Promise<void> => (json ? undefined : cli.stderr.write(`${text}\n`));
  try {
    const session = await ping(name, world);
    if (!session) throw new CroftError('not-found', 'there is no such instance');
    await say(`${session.alias}: alive`);
    if (!status) return { instance: session.alias, alive: true };
    await using machine = world.machine(session);
    const [workDir, said] = [await machine.buildlet.workDir({}), await machine.buildlet.status({})];
    if (!json) await cli.stdout.write(`workdir: ${printable(workDir)}\nstatus: ${printable(JSON.stringify(said))}\n`);
    return { instance: session.alias, alive: true, workDir, status: said };
  } catch (error) {
    await say(`${name}: ${printable(errorText(error))}`);
    return { instance: name, alive: false, error: errorText(error) };
  }
}

async function destroy(name: string | undefined, { destroyGroup, ...given }: DestroyOptions, cli: Cli): Promise<number> {
  const world = await openWorld(given, cli);
  const { client, groups, json } = world;
  if (name === undefined && !world.group) {
    const { sessions } = await client.call('session.list', { query: { mine: '1' } });
    const lines = sessions.map((session) => sessionLine(session, cli.clock.now())).join('');
    throw new CroftError('invalid', 'name an instance to destroy', { hint: lines || 'You have none.' });
  }
  const group = name === undefined ? await mustRead(world) : undefined;
  const ended = await Promise.all((group?.instances ?? [name ?? '']).map((one) => endOne(one, group !== undefined, world)));
  const gone = ended.filter((session) => session !== undefined);
  if (group) await groups.write({ ...group, instances: [] });
  else await forget(gone, world);
  if (destroyGroup && world.group) await groups.remove(world.group.name);
  if (json) await cli.stdout.write(`${JSON.stringify({ sessions: gone })}\n`);
  else await cli.stderr.write(gone.map(({ alias }) => `# ${alias} is given back\n`).join(''));
  return exitCodes.ok;
}

/** One that is named must be there; of a group those that are. */
async function endOne(name: string, mayBeGone: boolean, { client }: World): Promise<SessionView | undefined> {
  try {
    return await client.call('session.end', { params: { session: name }, body: { why: 'gomote destroy' } });
  } catch (error) {
    if (mayBeGone && isCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** One that was named leaves every group that it is in; the others stay there. */
async function forget(gone: readonly SessionView[], { groups }: World): Promise<void> {
  const names = gone.flatMap(({ id, alias }) => [id, alias]);
  for (const group of await groups.list()) {
    const instances = group.instances.filter((one) => !names.includes(one));
    if (instances.length < group.instances.length) await groups.write({ ...group, instances });
  }
}

async function extend(words: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const { sessions, rest } = await chooseInstances(words, world);
  const forMs = parseDuration(rest.join(''), 'the time');
  await change(sessions, world, (session) => world.client.call('session.extend', { params: { session }, body: { forMs } }));
}

async function share(words: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const { session, rest } = await chooseOne(words, world);
  if (rest.length === 0) throw new CroftError('invalid', 'name the people to share it with, or "-" for nobody');
  const people = rest.filter((person) => person !== '-');
  const act = (id: string): Promise<SessionView> => world.client.call('session.share', { params: { session: id }, body: { with: people } });
  const [{ strangers = [] } = session] = await change([session], world, act);
  if (strangers.length === 0 || world.json) return;
  const names = printable(strangers.join(' or '));
  await cli.stderr.write(`# nobody is called ${names} here yet: they may use it once they have a token of that name\n`);
}

async function note(words: readonly string[], given: GomoteOptions, cli: Cli): Promise<void> {
  const world = await openWorld(given, cli);
  const { sessions, rest } = await chooseInstances(words, world);
  const text = rest.join(' ');
  await change(sessions, world, (session) => world.client.call('session.note', { params: { session }, body: { note: text } }));
}

async function change(
  sessions: readonly SessionView[],
  { cli, json }: World,
  act: (id: string) => Promise<SessionView>,
): Promise<SessionView[]> {
  const changed: SessionView[] = [];
  for (const { id } of sessions) changed.push(await act(id));
  if (json) await cli.stdout.write(`${JSON.stringify({ sessions: changed })}\n`);
  else await cli.stdout.write(changed.map((session) => sessionLine(session, cli.clock.now())).join(''));
  return changed;
}
