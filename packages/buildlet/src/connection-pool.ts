/** Connections to one buildlet that are kept for the next request, and replaced when they have died. */
import { Agent } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { BuildletAddress } from './address.ts';
import { connectTo } from './connect.ts';

const maxIdle = 64;
/** For one that is dialled: the other side may wait a while until it calls. */
const connectMs = 30 * SECOND;

export interface ConnectionPool extends Disposable {
  readonly agent: Agent;
}

export function connectionPool(address: BuildletAddress, clock: Clock): ConnectionPool {
  const life = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: maxIdle });
  const keepSocketAlive = agent.keepSocketAlive.bind(agent);
  const reuseSocket = agent.reuseSocket.bind(agent);
  // What Node says is to be replaced where it is not enough.
  agent.createConnection = (_, made) => {
    // Goes on when its request is given up: whichever comes next takes the connection.
    const signal = anySignal(life.signal, clock.deadline(connectMs));
    connectTo(address, { signal }).then(
      (stream) => made?.(null, stream),
      (error: Error) => made?.(error, undefined as never),
    );
    return undefined;
  };
  agent.keepSocketAlive = (stream: Duplex) => (stream instanceof Socket ? keepSocketAlive(stream) : !stream.destroyed);
  agent.reuseSocket = (stream: Duplex, request) => {
    if (stream instanceof Socket) reuseSocket(stream, request);
    else request.reusedSocket = true;
  };
  return {
    agent,
    [Symbol.dispose]() {
      life.abort(new CroftError('stopped', 'the client of the buildlet is closed'));
      agent.destroy();
    },
  };
}
