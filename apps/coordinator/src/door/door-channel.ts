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

export interface ChannelEvents {
  resize?: (size: Size) => void;
  signal?: (name: string) => void;
}

export function createDoorChannel(
  channel: ServerChannel,
  { connection, closed, events }: { connection: Connection; closed: AbortSignal; events: ChannelEvents },
): DoorChannel {
  channel.on('error', () => undefined); // its reader and writer are told
  return {
    ...createChannelWriter(channel, connection, closed),
    pour: openIntake(channel),
    closed,
    onResize: (act) => void (events.resize = act),
    onSignal: (act) => void (events.signal = act),
    finish: () => channel.eof(),
    end(how) {
      if (closed.aborted) return;
      if ('code' in how) channel.exit(how.code);
      else channel.exit(how.signal.replace(/^SIG/, ''), false, '');
      channel.end();
    },
  };
}
