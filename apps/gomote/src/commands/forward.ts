/** `gomote forward` and `rdp`: a port of a machine as a port here. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createTaskGroup, type TaskGroup } from '@croft/runtime/tasks';
import type { Cli, Run } from '@croft/cli/program';
import { exitCodes } from '@croft/cli/exit-codes';
import { chooseOne } from '../instances.ts';
import { anyEpoch, openWorld, type GomoteOptions, type Machine } from '../world.ts';

interface ForwardOptions extends GomoteOptions {
  readonly listen?: string;
}

const rdpPort = 3389;

export function addForward(program: Command, cli: Cli, run: Run): void {
  program
    .command('forward <words...>')
    .usage('[options] [instance] <port>')
    .option('--listen <address>', 'host:port here; the same port on localhost by default, a free one for 0')
    .addHelpText('after', '\n  gomote forward ann-linux-0 5432\n  gomote forward -listen localhost:0 ann-linux-0 8080')
    .action((words: string[], _, command: Command) => run(() => forward(words, command.optsWithGlobals(), cli)));
  program
    .command('rdp [instance]')
    .option('--listen <address>', 'host:port here', `localhost:${rdpPort}`)
    .action((name: string | undefined, _, command: Command) =>
      run(() => forward([...(name === undefined ? [] : [name]), String(rdpPort)], command.optsWithGlobals(), cli)),
    );
}

async function forward(words: readonly string[], { listen, ...given }: ForwardOptions, cli: Cli): Promise<number> {
  const world = await openWorld(given, cli);
  const { session, rest } = await chooseOne(words, world);
  const [text = ''] = rest;
  const port = portOf(text, 1);
  if (rest.length > 1) throw new CroftError('invalid', 'one port at a time');
  const place = parsePlace(listen ?? `localhost:${port}`);
  await using machine = world.machine(session);
  using interruption = cli.interruption();
  await using tasks = createTaskGroup((_, error) => void cli.stderr.write(`# ${errorText(error)}\n`).catch(() => {}));
  await using server = await listening(place, (socket) => carry({ machine, port, socket }, tasks));
  const { address, port: chosen } = server.at;
  const shown = `${address.includes(':') ? `[${address}]` : address}:${chosen}`;
  if (world.json) await cli.stdout.write(`${JSON.stringify({ instance: session.alias, port, listen: { host: address, port: chosen } })}\n`);
  else await cli.stderr.write(`# ${shown} is port ${port} of ${session.alias}; Ctrl-C ends it\n`);
  await once(interruption.signal, 'abort');
  return exitCodes.interrupted;
}

interface Carried {
  readonly machine: Machine;
  readonly port: number;
  readonly socket: Socket;
}

/** A connection that the machine refuses ends, and says why; the others go on. */
function carry({ machine, port, socket }: Carried, tasks: TaskGroup): void {
  socket.on('error', () => {}); // the pipeline tells
  tasks.start('connection', async ({ signal }) => {
    try {
      const there = await machine.buildlet.connect(port, anyEpoch, { signal });
      await Promise.all([pipeline(socket, there, { signal }), pipeline(there, socket, { signal })]).catch(() => undefined); // either end left
      there.destroy();
    } finally {
      socket.destroy();
    }
  });
}

interface Place {
  readonly host: string;
  readonly port: number;
}

interface Listening extends AsyncDisposable {
  readonly at: AddressInfo;
}

async function listening({ host, port }: Place, take: (socket: Socket) => void): Promise<Listening> {
  const server: Server = createServer({ allowHalfOpen: true }, take);
  try {
    await once(server.listen(port, host), 'listening');
  } catch (error) {
    throw new CroftError('conflict', `listening on ${host}:${port}: ${errorText(error)}`, {
      cause: error,
      hint: 'Choose another: -listen localhost:0',
    });
  }
  return { at: server.address() as AddressInfo, [Symbol.asyncDispose]: async () => void server.close() };
}

/** @throws CroftError `invalid` */
function parsePlace(text: string): Place {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(text) ?? [];
  return { host: host.replaceAll(/^\[|\]$/g, '') || 'localhost', port: portOf(port, 0) };
}

function portOf(text: string, least: number): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= least && port <= 65_535) return port;
  throw new CroftError('invalid', `${JSON.stringify(text)} is not a port`, { hint: 'gomote forward INSTANCE PORT' });
}
