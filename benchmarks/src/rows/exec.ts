/** A command at a buildlet, from the request to its end in the trailer, beside Go's buildlet in turns on connections that stay. */
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { CroftError } from '@croft/runtime/errors';
import { goPrograms } from '@croft/farm/go-programs';
import { startGoBuildlet, startOurBuildlet, type BuildletProcess } from '../buildlet-process.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { quantile } from '../samples.ts';

const warmUps = 200;
const batches = 20;
const commandsInBatch = 100;
const body = 'cmd=%2Fbin%2Ftrue&mode=sys&dir=';

export const exec: Row = { name: 'exec', about: 'POST /exec of true, from the request to its end, one at a time', run };

interface Peer extends Disposable {
  readonly buildlet: BuildletProcess;
  readonly agent: Agent;
  /** Of each batch, ms. */
  readonly p50: number[];
  readonly p99: number[];
}

async function run(bench: Bench): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const go = await goPrograms({ env: process.env, progress: bench.progress, signal: bench.signal });
  const mine = stack.use(peerOf(stack.use(await startOurBuildlet(bench))));
  const theirs = 'missing' in go ? undefined : stack.use(peerOf(stack.use(await startGoBuildlet(go.buildlet, bench))));
  if ('missing' in go) bench.progress(`without a peer: ${go.missing}`);
  const peers = theirs ? [mine, theirs] : [mine];
  for (let n = 0; n < warmUps; n += 1) for (const peer of peers) await execute(peer, bench);
  for (let batch = 1; batch <= batches; batch += 1) {
    bench.progress(`batch ${batch} of ${batches}`);
    const times = new Map(peers.map((peer): [Peer, number[]] => [peer, []]));
    for (let n = 0; n < commandsInBatch; n += 1) for (const [peer, into] of times) into.push(await execute(peer, bench));
    for (const [peer, samples] of times) {
      peer.p50.push(quantile(samples, 0.5));
      peer.p99.push(quantile(samples, 0.99));
    }
  }
  return (['p50', 'p99'] as const).map((which) => ({
    what: `exec of true, ${which} of ${commandsInBatch}`,
    unit: 'ms',
    samples: mine[which],
    ...(theirs ? { peer: { what: 'Go', samples: theirs[which] }, goal: quantile(theirs[which], 0.5) } : {}),
  }));
}

function peerOf(buildlet: BuildletProcess): Peer {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return { buildlet, agent, p50: [], p99: [], [Symbol.dispose]: () => agent.destroy() };
}

/** @throws CroftError `unavailable` for any other end than success */
async function execute({ buildlet: { port, maker }, agent }: Peer, { clock, signal }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length };
  const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/exec', agent, headers, signal });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  const took = clock.monotonic() - startedAt;
  const state = response.trailers['process-state'];
  if (state !== 'ok') throw new CroftError('unavailable', `${maker} buildlet: /exec ended ${response.statusCode} ${state}`);
  return took;
}
