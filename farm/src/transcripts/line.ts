/**
 * A reverse line between a coordinator and a buildlet: the two requests that become one, and the control lines in both directions. Recorded
 * between the two halves of a version; afterwards either half is played to today's other one.
 */
import { duplexPair, type Duplex } from 'node:stream';
import type * as DialerModule from '@croft/streams/revdial-dialer';
import type * as ListenerModule from '@croft/streams/revdial-listener';
import type * as SwitchModule from '@croft/streams/revdial-switch';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';

export interface Piece {
  /** The coordinator dials, the buildlet listens. */
  readonly from: 'dialer' | 'listener';
  /** `head`: of a request that becomes a connection; `line`: on the control line. The id of the line is `ID`. */
  readonly kind: 'head' | 'line';
  readonly text: string;
}

export interface Halves {
  readonly createDialers: typeof DialerModule.createDialers;
  readonly openListener: typeof ListenerModule.openListener;
  readonly requestSwitch: typeof SwitchModule.requestSwitch;
}

export const lineStatus = { boot: '0123456789abcdef', epoch: 3, runs: 1, freeBytes: 1_000_000, lowDisk: false };
export const failure = 'the way back is closed';

/** Undefined for a tree that has no reverse line. */
export async function recordLine(load: (path: string) => Promise<Record<string, unknown>>): Promise<readonly Piece[] | undefined> {
  const parts = await Promise.all(
    ['dialer', 'listener', 'switch'].map((part) => load(`packages/streams/src/revdial-${part}.ts`).catch(() => undefined)),
  );
  if (parts.some((part) => part === undefined)) return undefined;
  const { createDialers, openListener, requestSwitch } = Object.assign({}, ...parts) as Halves;
  const pieces: Piece[] = [];
  await using dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
  const [near, far] = tapped(pieces, 'line');
  const dialer = dialers.open(near, { peer: 'croft' });
  let refuse = false;
  await using listener = openListener(far, {
    peer: 'croft',
    clock: systemClock,
    status: () => lineStatus,
    async dial(path, waits) {
      if (refuse) throw new Error(failure);
      const [theirs, ours] = tapped(pieces, 'head');
      theirs.once('data', () => {
        theirs.write('HTTP/1.1 101 Switching Protocols\r\nCroft-Revdial: 1\r\n\r\n');
        dialers.claim(new URL(path, 'http://farm').searchParams)?.deliver(theirs);
      });
      await requestSwitch(ours, { path, headers: { 'User-Agent': 'Go-http-client/1.1' } }, waits);
      return ours;
    },
  });
  const [dialled] = await Promise.all([dialer.dial({}), listener.accept()]);
  dialled.destroy();
  refuse = true;
  await dialer.dial({}).catch(() => undefined);
  return pieces.map((piece) => ({ ...piece, text: piece.text.replaceAll(/dialer=[0-9a-f]+/g, 'dialer=ID') }));
}

/** Two ends of a connection; what passes is added, by lines where it consists of them. */
function tapped(pieces: Piece[], kind: Piece['kind']): [dialer: Duplex, listener: Duplex] {
  const [dialer, dialerFar] = duplexPair();
  const [listener, listenerFar] = duplexPair();
  const pass = (from: Piece['from'], source: Duplex, target: Duplex): void => {
    source.on('data', (bytes: Buffer) => {
      for (const text of kind === 'line' ? bytes.toString().split(/(?<=\n)/) : [bytes.toString()]) pieces.push({ from, kind, text });
      target.write(bytes);
    });
    source.on('close', () => target.destroy());
    source.on('error', () => {});
  };
  pass('dialer', dialerFar, listenerFar);
  pass('listener', listenerFar, dialerFar);
  return [dialer, listener];
}
