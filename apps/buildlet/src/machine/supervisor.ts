/**
 * The line to the supervisor that started this buildlet, if one did: the message channel that Node opens between a process and its
 * child, which is there on every system. @see docs/protocols/distribution.md#supervisor-and-buildlet
 */
import type { EventEmitter } from 'node:events';

export interface Supervisor {
  /** Aborts when the buildlet is to end as soon as nothing is lost by it: for an update, or because the supervisor has died. */
  readonly drain: AbortSignal;
  /** It serves, and in reverse mode its coordinator has taken it. Repeating it changes nothing. */
  ready(): void;
}

type Channel = Pick<NodeJS.Process, 'send' | 'channel'> & EventEmitter;

/** Undefined for a buildlet that was started by hand, or by something else. */
export function findSupervisor(channel: Channel): Supervisor | undefined {
  if (channel.send === undefined) return undefined;
  const drain = new AbortController();
  channel.on('message', (message: unknown) => {
    if (message === 'drain') drain.abort();
  });
  channel.on('disconnect', () => drain.abort());
  channel.channel?.unref();
  let told = false;
  return {
    drain: drain.signal,
    ready() {
      if (told || drain.signal.aborted) return;
      told = true;
      channel.send?.('ready', () => {}); // a supervisor that has died is noticed by the disconnection
    },
  };
}
