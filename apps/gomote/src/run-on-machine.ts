/** One command on one machine, from its start to its end, with Ctrl-C handed on: the first interrupts it, the second kills it, the third leaves. */
import { parseRunId, type RunId } from '@croft/domain/names';
import type { Run, RunSpec } from '@croft/protocol/runs';
import { errorText } from '@croft/runtime/errors';
import { SECOND } from '@croft/runtime/clock';
import type { Cli } from '@croft/cli/program';
import type { CommandSpec } from './command-spec.ts';
import { followRun, type EndedRun, type Sinks } from './follow-run.ts';
import { patiently } from './patience.ts';
import { anyEpoch, type Machine } from './world.ts';

const nameBytes = 6;
const handOnMs = 10 * SECOND;

/** As it began. Its name is `r-` and some hex; on the machine it stands below the session's id. */
export async function startCommand(machine: Machine, spec: CommandSpec, cli: Cli): Promise<Run> {
  const id = runIdOf(machine, `r-${cli.random.hex(nameBytes)}`);
  // The coordinator knows where it runs when nobody says so.
  return patiently(cli, () => machine.buildlet.startOrAttach(id, spec as RunSpec, anyEpoch, {}));
}

export function runIdOf({ session }: Machine, name: string): RunId {
  return parseRunId(name.startsWith(`${session.id}.`) ? name : `${session.id}.${name}`);
}

export function shownRun(machine: Machine, { id }: Run): string {
  return id.replace(`${machine.session.id}.`, '');
}

/** To its end, which is collected unless it is kept for others. */
export async function completeCommand(
  machine: Machine,
  run: Run,
  { sinks, cli, keep = false }: { sinks: Sinks; cli: Cli; keep?: boolean },
): Promise<EndedRun> {
  using handing = handOn(machine, run, cli);
  const ended = await followRun(machine, run, { sinks, cli, signal: handing.left });
  if (!keep) await machine.buildlet.collect(run.id as RunId, anyEpoch, {}).catch(() => undefined); // the session's end does it too
  return ended;
}

interface Handing extends Disposable {
  /** Aborted when nobody wants to see more of it. */
  readonly left: AbortSignal;
}

function handOn(machine: Machine, run: Run, cli: Cli): Handing {
  const id = run.id as RunId;
  const leaving = new AbortController();
  const say = (text: string): void => void cli.stderr.write(`# ${text}\n`).catch(() => {});
  const told = (act: Promise<unknown>): void => void act.catch((error: unknown) => say(errorText(error)));
  const acts = [
    () => {
      say(`sent SIGINT to the command on ${machine.session.alias}; Ctrl-C again kills it`);
      told(machine.buildlet.signal(id, 'SIGINT', anyEpoch, { signal: cli.clock.deadline(handOnMs) }));
    },
    () => {
      say('killing it; Ctrl-C again leaves at once');
      told(machine.buildlet.cancel(id, 'Ctrl-C', anyEpoch, { signal: cli.clock.deadline(handOnMs) }));
    },
    (reason: unknown) => leaving.abort(reason),
  ];
  let listening = cli.interruption();
  const listen = (): void => {
    const { signal } = listening;
    signal.addEventListener('abort', () => {
      listening[Symbol.dispose]();
      listening = cli.interruption();
      acts.shift()?.(signal.reason);
      listen();
    });
  };
  listen();
  return { left: leaving.signal, [Symbol.dispose]: () => listening[Symbol.dispose]() };
}
