/** One client from its login to its end: enters the machine, serves the channels, and lets everything go. */
import type { Connection } from 'ssh2';
import { SECOND } from '@croft/runtime/clock';
import { errorText, isCode } from '@croft/runtime/errors';
import { createTaskGroup, type TaskGroup } from '@croft/runtime/tasks';
import type { Audit } from '../auth/audit.ts';
import type { Metrics } from '../events.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { croftWays, type CroftWayDeps } from './croft-ways.ts';
import { Leaving } from './door-channel.ts';
import { createForwards, type Forwards } from './forwards.ts';
import { serveForwardRequests } from './forward-requests.ts';
import { serveSessionChannel, type SessionHandlers } from './session-channel.ts';
import type { GoMachines } from './go-machines.ts';
import { decryptOurselves, onGoodbye } from './ssh2-inside.ts';
import { enterAs, type Login, type Visit } from './visit.ts';
import type { Ways } from './ways.ts';
import { note } from './words.ts';

export interface ConnectionDeps extends CroftWayDeps {
  readonly goMachines: GoMachines;
  readonly sessions: Sessions;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly metrics: Pick<Metrics, 'ssh'>;
}

/** Channels of one connection at once. */
const maxChannels = 200;
/** What was told to channels has left by then. */
const farewellMs = SECOND;
const maxAuditedChars = 150;

/** Where somebody is, once they are let in; each asks anew after a failure. */
interface Entrance extends AsyncDisposable {
  visit(): Promise<Visit>;
  ways(): Promise<Ways>;
}

/** @param from the client's address. Resolves when everything of it has ended. */
export async function serveConnection(connection: Connection, login: Login, from: string, deps: ConnectionDeps): Promise<void> {
  const { log, clock, metrics } = deps;
  const gone = new AbortController();
  let isGoodbye = false;
  decryptOurselves(connection);
  onGoodbye(connection, () => (isGoodbye = true));
  const closing = new Promise<void>((resolve) => {
    connection.once('close', () => {
      gone.abort(new Leaving(isGoodbye));
      resolve();
    });
  });
  await using entrance = createEntrance(login, from, deps);
  await using tasks = createTaskGroup((task, error) => log.error('ssh work stopped', { task, error }));
  const count = counter(tasks);
  const hasRoom = (): boolean => {
    const isThere = count.now() < maxChannels;
    if (!isThere) metrics.ssh.limited('channels');
    return isThere;
  };
  const forwards = createForwards({ connection, gone: gone.signal, ways: entrance.ways, tasks, log, metrics });
  const handlers = handlersOf({ entrance, forwards, from, deps });
  connection.on('session', (accept, reject) => {
    if (!hasRoom()) return reject();
    const session = accept();
    const closed = new AbortController();
    session.once('close', () => closed.abort(new Leaving(true)));
    const signal = AbortSignal.any([gone.signal, closed.signal]);
    serveSessionChannel(session, { connection, may: login.may, closed: signal, handlers, keep: count.keep, log, metrics });
  });
  const isOpen = (): boolean => login.may.forward && hasRoom();
  serveForwardRequests(connection, { forwards, isOpen, keep: count.keep, gone: gone.signal, log });
  tasks.start('farewell', async () => {
    const visit = await entrance.visit().catch(() => undefined); // told to each channel
    if (!visit) return;
    await ending(visit.ended, gone.signal);
    if (!gone.signal.aborted) await clock.sleep(farewellMs);
    connection.end();
  });
  await closing;
  await tasks.idle();
}

function createEntrance(login: Login, from: string, deps: ConnectionDeps): Entrance {
  let visiting: Promise<Visit> | undefined;
  let opening: Promise<Ways> | undefined;
  const open = async (): Promise<Ways> => {
    const entered = await visit();
    if (entered.ground.speaks === 'go') return deps.goMachines.open(entered, { signal: entered.ended });
    return croftWays({ visit: entered, attach: login.target.attach, from }, deps);
  };
  const visit = (): Promise<Visit> => {
    visiting ??= enter(login, from, deps);
    visiting.catch(() => (visiting = undefined));
    return visiting;
  };
  return {
    visit,
    ways() {
      opening ??= open();
      opening.catch(() => (opening = undefined));
      return opening;
    },
    async [Symbol.asyncDispose]() {
      const ways = await opening?.catch(() => undefined);
      await ways?.[Symbol.asyncDispose]();
      const entered = await visiting?.catch(() => undefined);
      entered?.[Symbol.dispose]();
    },
  };
}

/** Who comes in is written down before they can do anything, and so is who was refused. */
async function enter(login: Login, from: string, { sessions, audit, metrics }: ConnectionDeps): Promise<Visit> {
  const { place } = login.target;
  const target = place.kind === 'session' ? place.name : `build-${place.build}`;
  try {
    const visit = await enterAs(login, sessions);
    metrics.ssh.login('accepted', login.method);
    await audit.asked({ who: visit.person.name, what: 'ssh.login', target: visit.session?.alias ?? target, from });
    return visit;
  } catch (error) {
    const who = login.people.map(({ name }) => name).join(' or ');
    if (isCode(error, 'forbidden') || isCode(error, 'not-found')) {
      metrics.ssh.login('refused', login.method);
      await audit.refused({ who, what: 'ssh.login', target, from }, errorText(error));
    }
    throw error;
  }
}

interface HandlerParts {
  readonly entrance: Entrance;
  readonly forwards: Forwards;
  readonly from: string;
  readonly deps: ConnectionDeps;
}

function handlersOf({ entrance, forwards, from, deps }: HandlerParts): SessionHandlers {
  const asked = async (what: string, detail: string): Promise<void> => {
    const { person, session, runs } = await entrance.visit();
    const target = `${session?.alias ?? runs.replace(/\.$/, '')}${detail === '' ? '' : `: ${detail.slice(0, maxAuditedChars)}`}`;
    await deps.audit.asked({ who: person.name, what, target, from });
  };
  return {
    async command(channel, { wantsAgent, ...wish }) {
      deps.metrics.ssh.channel(wish.commandLine === undefined ? 'shell' : 'command');
      if (wish.commandLine !== undefined || !wish.terminal) await asked('ssh.exec', wish.commandLine ?? 'a shell without a terminal');
      const agent = wantsAgent
        ? await forwards.agent({ signal: channel.closed }).catch(async (error: unknown) => {
            await channel.writeError(note(`your agent cannot be reached from the machine: ${errorText(error)}`));
            return undefined;
          })
        : undefined;
      const env = agent === undefined ? wish.env : { ...wish.env, SSH_AUTH_SOCK: agent };
      await (await entrance.ways()).command(channel, { ...wish, env });
    },
    async sftp(channel) {
      deps.metrics.ssh.channel('sftp');
      await asked('ssh.sftp', '');
      await (await entrance.ways()).sftp(channel);
    },
  };
}

/** Tasks of channels, counted. */
function counter(tasks: TaskGroup): { now(): number; keep(task: () => Promise<void>): void } {
  let channels = 0;
  return {
    now: () => channels,
    keep(task) {
      channels += 1;
      tasks.start('channel', () => task().finally(() => (channels -= 1)));
    },
  };
}

/** Resolves when one of them is aborted. */
async function ending(...signals: AbortSignal[]): Promise<void> {
  const any = AbortSignal.any(signals);
  if (!any.aborted) await new Promise((resolve) => any.addEventListener('abort', resolve, { once: true }));
}
