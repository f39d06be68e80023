/** What a client asks of a session channel (RFC 4254, section 6): a terminal, variables, then one shell, command or subsystem. */
import type { Connection, Session } from 'ssh2';
import type { Log } from '@croft/runtime/log';
import { isCode } from '@croft/runtime/errors';
import type { Metrics } from '../events.ts';
import { createChannelEvents, createDoorChannel, type DoorChannel, type Size } from './door-channel.ts';
import type { May } from './visit.ts';
import type { CommandWish } from './ways.ts';
import { refusal } from './words.ts';

export interface SessionHandlers {
  command(channel: DoorChannel, wish: CommandWish & { readonly wantsAgent: boolean }): Promise<void>;
  sftp(channel: DoorChannel): Promise<void>;
}

export interface SessionContext {
  readonly connection: Connection;
  readonly may: May;
  /** Aborted with the connection, or when this channel is closed. */
  readonly closed: AbortSignal;
  readonly handlers: SessionHandlers;
  /** What a channel does goes on until it ends. */
  keep(task: () => Promise<void>): void;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'ssh'>;
}

/** What a client may set: how things are written where its user lives. */
const letThrough = /^(?:LANG|LC_[A-Z]{1,30})$/;
const maxValueChars = 256;
const maxVariables = 20;
const termPattern = /^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/;
const failed = 255;

type Answer = (() => void) | undefined;

export function serveSessionChannel(session: Session, context: SessionContext): void {
  const { may, handlers } = context;
  const events = createChannelEvents();
  let isBegun = false;
  const env: Record<string, string> = {};
  let terminal: (Size & { term: string }) | undefined;
  let wantsAgent = false;
  const answer = (isGranted: boolean, accept: Answer, reject: Answer): void => (isGranted ? accept?.() : reject?.());
  session.on('pty', (accept: Answer, reject: Answer, { cols, rows, ...info }) => {
    const { term = '' } = info as { term?: string };
    if (may.terminal) terminal = { cols, rows, term: termPattern.test(term) ? term : 'xterm' };
    answer(may.terminal, accept, reject);
  });
  session.on('env', (accept: Answer, reject: Answer, { key, val }) => {
    const isLetIn = letThrough.test(key) && val.length <= maxValueChars && Object.keys(env).length < maxVariables;
    if (isLetIn) env[key] = val;
    answer(isLetIn, accept, reject);
  });
  session.on('auth-agent', (accept: Answer, reject: Answer) => {
    wantsAgent = may.agent;
    answer(may.agent, accept, reject);
  });
  session.on('x11', (_accept: Answer, reject: Answer) => reject?.());
  session.on('window-change', (accept: Answer, _reject: Answer, { cols, rows }) => {
    accept?.();
    if (isBegun) events.resize.tell({ cols, rows });
    else if (terminal) terminal = { ...terminal, cols, rows };
  });
  session.on('signal', (accept: Answer, _reject: Answer, { name }) => {
    accept?.();
    if (isBegun) events.signal.tell(name);
  });
  const begin = (accept: () => Parameters<typeof createDoorChannel>[0], serve: (channel: DoorChannel) => Promise<void>): void => {
    isBegun = true;
    const opened = accept() as ReturnType<typeof accept> | undefined; // at once: the client may end its input with the next packet
    if (opened) context.keep(() => serveOne(createDoorChannel(opened, { ...context, events }), serve, context));
  };
  const run = (accept: Parameters<typeof begin>[0], commandLine?: string): void =>
    begin(accept, (channel) => handlers.command(channel, { commandLine, terminal, env, wantsAgent }));
  session.on('shell', (accept) => run(accept));
  session.on('exec', (accept, _reject, { command }) => run(accept, command));
  session.on('subsystem', (accept, reject, { name }) => (name === 'sftp' ? begin(accept, handlers.sftp) : reject()));
}

/** Whatever goes wrong is told to the client, and to nobody else. */
async function serveOne(
  channel: DoorChannel,
  serve: (channel: DoorChannel) => Promise<void>,
  { log, metrics }: SessionContext,
): Promise<void> {
  try {
    await serve(channel);
  } catch (error) {
    if (channel.closed.aborted) return;
    log.info('ssh channel failed', { error });
    if (isCode(error, 'unavailable')) metrics.ssh.unreached();
    try {
      await channel.writeError(refusal(error));
    } catch {
      return; // its client has left meanwhile
    }
    channel.end({ code: failed });
  }
}
