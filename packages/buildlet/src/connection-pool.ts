/** Connections to one buildlet that are kept for the next request, and replaced when they have died. */
import type { Agent as HttpAgent } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { Agent } from '@croft/runtime/node-http';
import type { BuildletAddress } from './address.ts';
import { connectTo } from './connect.ts';

const maxIdle = 64;
/** For one that is dialled: the other side may wait a while until it calls. */
const connectMs = 30 * SECOND;

export interface ConnectionPool extends Disposable {
  readonly agent: HttpAgent;
}

export function connectionPool(address: BuildletAddress, clock: Clock): ConnectionPool {
  const life = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: maxIdle });
  agent.createConnection = (_, made) => {
    // Goes on when its request is given up: whichever comes next takes the connection.
    const signal = anySignal(life.signal, clock.deadline(connectMs));
    connectTo(address, { signal }).then(
      (stream) => made?.(null, likeSocket(stream)),
      (error: Error) => made?.(error, undefined as never),
    );
    return undefined;
  };
  return {
    agent,
    [Symbol.dispose]() {
      life.abort(new CroftError('stopped', 'the client of the buildlet is closed'));
      agent.destroy();
    },
  };
}

/** What Node asks of a connection that it keeps and a stream that is no socket does not have; nothing of it matters there. */
function likeSocket(stream: Duplex): Duplex {
  if (stream instanceof Socket) return stream;
  const nothing = (): Duplex => stream;
  return Object.assign(stream, { setKeepAlive: nothing, setNoDelay: nothing, setTimeout: nothing, ref: nothing, unref: nothing });
}
