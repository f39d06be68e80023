/** What can be reached on a machine. One of ours is asked for runs and raw connections; one of Go's by a second SSH. */
import type { Duplex } from 'node:stream';
import type { Listening, ListenWish, Reachable } from '@croft/buildlet/client';
import type { Waits } from '@croft/runtime/clock';
import type { DoorChannel, Size } from './door-channel.ts';

export interface Ways extends AsyncDisposable {
  /** Resolves when the channel is closed, or what it was for has ended and all of it was told. */
  command(channel: DoorChannel, wish: CommandWish): Promise<void>;
  sftp(channel: DoorChannel): Promise<void>;
  connect(to: Reachable, waits: Waits): Promise<Duplex>;
  listen(where: ListenWish, waits: Waits): Promise<Listening>;
}

export interface CommandWish {
  /** Undefined: a shell. */
  readonly commandLine?: string | undefined;
  readonly terminal?: (Size & { readonly term: string }) | undefined;
  /** Of the client. */
  readonly env: Readonly<Record<string, string>>;
}
