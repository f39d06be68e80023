/** A machine of ours: shells and commands are runs, everything else is a raw connection. */
import { DAY } from '@croft/runtime/clock';
import type { RunId } from '@croft/domain/names';
import type { RunSpec } from '@croft/protocol/runs';
import { CroftError } from '@croft/runtime/errors';
import type { Shells } from '../sessions/shells.ts';
import type { DoorChannel } from './door-channel.ts';
import { clamped, joinExec, type ExecDeps } from './exec-channel.ts';
import { joinStream } from './join-stream.ts';
import { joinShell } from './shell-channel.ts';
import type { Target } from './target.ts';
import type { Visit } from './visit.ts';
import type { CommandWish, Ways } from './ways.ts';

export interface CroftWayDeps extends ExecDeps {
  readonly shells: Shells;
}

/** Where somebody is, how they came, and what they came for. */
export interface Stay {
  readonly visit: Visit;
  readonly attach: Target['attach'];
  /** The client's address. */
  readonly from: string;
}

/** A session ends its runs; these limits are for what nobody ends. */
const limitMs = 20 * DAY;
const outputLimitBytes = Number.MAX_SAFE_INTEGER;
const idBytes = 8;

export function croftWays({ visit, attach, from }: Stay, deps: CroftWayDeps): Ways {
  const { buildlet, epoch, ground } = visit;
  return {
    async command(channel, wish) {
      const { commandLine, terminal, env } = wish;
      const name = attach.kind === 'run' ? attach.name : undefined;
      if (name !== undefined && commandLine !== undefined)
        throw new CroftError('invalid', `${name} runs already: no command can be given with it`);
      if (name !== undefined && !(terminal && name.startsWith('sh-'))) return joinNamed(channel, name, { wish, visit, deps });
      if (commandLine !== undefined || !terminal) return joinNew(channel, wish, visit, deps);
      await joinShell(channel, { run: attach.kind === 'new' ? 'new' : name, terminal, env, from }, visit, deps);
    },
    async sftp(channel) {
      await joinStream(channel, await buildlet.sftp({ dir: ground.dir }, epoch, { signal: channel.closed }), 'close');
    },
    connect: (to, waits) => buildlet.connect(to, epoch, waits),
    listen: (where, waits) => buildlet.listen(where, epoch, waits),
    async [Symbol.asyncDispose]() {},
  };
}

async function joinNew(channel: DoorChannel, wish: CommandWish, visit: Visit, deps: CroftWayDeps): Promise<void> {
  const id = `${visit.runs}x-${deps.random.hex(idBytes)}` as RunId;
  const run = await visit.buildlet.startOrAttach(id, specOf(wish, visit), visit.epoch, { signal: channel.closed });
  await joinExec(channel, { run, from: 0, errorFrom: run.stderr && 0, isOwn: true }, visit, deps);
}

interface Named {
  readonly wish: CommandWish;
  readonly visit: Visit;
  readonly deps: CroftWayDeps;
}

/** Any run of this session by its name, from its first byte that is kept, until its end. */
async function joinNamed(channel: DoorChannel, name: string, { wish, visit, deps }: Named): Promise<void> {
  const { buildlet, runs, place } = visit;
  const run = await buildlet.run(`${runs}${name}` as RunId, { signal: channel.closed });
  if (typeof run === 'string') {
    const names = (await deps.shells.runs(place, { signal: channel.closed })).map((one) => one.name);
    throw new CroftError('not-found', `there is no run ${name} here`, {
      hint: names.length === 0 ? 'Nothing runs.' : `There are: ${names.join(', ')}.`,
    });
  }
  const joined = { run, from: run.output.from, errorFrom: run.stderr?.from, addCr: wish.terminal !== undefined, isOwn: false };
  await joinExec(channel, joined, visit, deps);
}

function specOf({ commandLine, terminal, env }: CommandWish, { ground }: Visit): RunSpec {
  const spec = {
    argv: commandLine === undefined ? [] : [commandLine],
    login: true as const,
    dir: ground.dir,
    elseDir: '.',
    env: { ...ground.env, ...env },
    path: [...ground.path],
    limitMs,
    outputLimitBytes,
  };
  if (terminal) return { ...spec, pty: { ...clamped(terminal), term: terminal.term } };
  return { ...spec, input: true, stderr: 'own' };
}
