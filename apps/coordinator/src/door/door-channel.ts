/** One session channel of a client: what it asked for, its bytes both ways, and how it ends. */
import type { Connection, ServerChannel } from 'ssh2';
import { CroftError } from '@croft/runtime/errors';
import { openIntake, type Intake } from './channel-intake.ts';
import { createChannelWriter, type ChannelWriter } from './channel-writer.ts';

export interface DoorChannel extends ChannelWriter {
  /** Gives on what the client sends. @see Intake */
  readonly pour: Intake;
  /** Aborted when it is closed, by the client or with its connection. @see Leaving */
  readonly closed: AbortSignal;
  /** The size of the client's window whenever it changes, and signals that it sends (`TERM`); the newest listener alone is called. */
  onResize(act: (size: Size) => void): void;
  onSignal(act: (name: string) => void): void;
  /** Nothing more will be written; the client may go on. */
  finish(): void;
  /** Ends it. Nothing can be written afterwards. */
  end(how: ChannelEnd): void;
}

export type ChannelEnd = { readonly code: number } | { readonly signal: string };

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

/** Why a channel is closed: its client said goodbye, or its connection was lost and the client may come back. */
export class Leaving extends CroftError {
  readonly isGoodbye: boolean;

  constructor(isGoodbye: boolean) {
    super('stopped', isGoodbye ? 'the client said goodbye' : 'the connection to the client was lost');
    this.isGoodbye = isGoodbye;
  }
}

/** What a client says beside its bytes. What comes before anybody listens, while a command is being started, waits for the first who does. */
export interface ChannelEvents {
  readonly resize: News<Size>;
  readonly signal: News<string>;
}

interface News<T> {
  tell(what: T): void;
  listen(act: (what: T) => void): void;
}

const maxEarlySignals = 16;

/** Of sizes the newest alone counts. */
export function createChannelEvents(): ChannelEvents {
  return { resize: createNews(1), signal: createNews(maxEarlySignals) };
}

export function createDoorChannel(
  channel: ServerChannel,
  { connection, closed, events = createChannelEvents() }: { connection: Connection; closed: AbortSignal; events?: ChannelEvents },
): DoorChannel {
  channel.on('error', () => undefined); // its reader and writer are told
  return {
    ...createChannelWriter(channel, connection, closed),
    pour: openIntake(channel),
    closed,
    onResize: events.resize.listen,
    onSignal: events.signal.listen,
    finish: () => channel.eof(),
    end(how) {
      if (closed.aborted) return;
      if ('code' in how) channel.exit(how.code);
      else channel.exit(how.signal.replace(/^SIG/, ''), false, '');
      channel.end();
    },
  };
}

/** The newest listener alone is called; of more than `limit` early ones the last are kept. */
function createNews<T>(limit: number): News<T> {
  const early: T[] = [];
  let listener: ((what: T) => void) | undefined;
  return {
    tell(what) {
      if (listener) return listener(what);
      early.push(what);
      if (early.length > limit) early.shift();
    },
    listen(act) {
      listener = act;
      for (const what of early.splice(0)) act(what);
    },
  };
}
