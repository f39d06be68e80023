/**
 * Ports of this machine for services of a job: a free one under a name, the same again for the same name, and whether anything listens.
 * @see docs/protocols/runs.md#ports
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { CroftError, systemCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { sourceNameSchema } from '@croft/protocol/runs';
import { json, type Answer } from '../http/answer.ts';
import { queryNumber } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';

const host = '127.0.0.1';
const maxNames = 1_000;
const connectMs = 2_000;

export function portRoutes(random: Random): Record<string, Route> {
  const given = new Map<string, Promise<number>>();
  return {
    '/ports': {
      style: 'json',
      async handle(call): Promise<Answer> {
        if (call.method === 'POST') return json({ port: await portFor(call, given, random) });
        if (call.method === 'GET') return json({ open: await isOpen(queryNumber(call.query, 'port'), call.signal) });
        throw new CroftError('invalid', 'ports are asked for with POST and looked at with GET');
      },
    },
  };
}

/** The oldest names are forgotten: their attempts have long ended. */
async function portFor({ query }: Call, given: Map<string, Promise<number>>, random: Random): Promise<number> {
  const name = sourceNameSchema.safeParse(query.get('name'));
  if (!name.success) throw new CroftError('invalid', 'a port is asked for under a name');
  const port = given.get(name.data) ?? freePort(random, [...given.values()]);
  given.set(name.data, port);
  port.catch(() => given.delete(name.data)); // the caller is told; who asks again has it tried again
  for (const oldest of [...given.keys()].slice(0, Math.max(0, given.size - maxNames))) given.delete(oldest);
  return port;
}

/** Below those that the system gives to connections: it would take one of them away again before the service has it. */
const ports = { from: 20_000, count: 12_000 };
const maxTries = 200;

/** None of those that were given to others: nothing may listen there yet. */
async function freePort(random: Random, others: readonly Promise<number>[]): Promise<number> {
  const taken = (await Promise.allSettled(others)).map((other) => (other.status === 'fulfilled' ? other.value : 0));
  for (let tries = 0; tries < maxTries; tries += 1) {
    const port = ports.from + Math.floor(random.fraction() * ports.count);
    if (taken.includes(port)) continue;
    const server = createServer();
    try {
      await once(server.listen(port, host), 'listening');
      return port;
    } catch (error) {
      if (systemCode(error) !== 'EADDRINUSE') throw error;
    } finally {
      server.close();
    }
  }
  throw new CroftError('exhausted', 'no port of this machine is free');
}

/** Takes leave politely: a connection that is reset ends programs that do not expect it. */
async function isOpen(port: number, signal: AbortSignal): Promise<boolean> {
  if (port < 1 || port > 65_535) throw new CroftError('invalid', `${port} is not a port`);
  const socket = connect({ host, port });
  socket.setTimeout(connectMs, () => socket.destroy(new Error('nobody answered')));
  try {
    await once(socket, 'connect', { signal });
    socket
      .on('error', () => {})
      .resume()
      .end();
    return true;
  } catch {
    socket.on('error', () => {}).destroy();
    signal.throwIfAborted();
    return false;
  }
}
