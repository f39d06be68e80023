/** A command at a buildlet, from the request to its end in the trailer, beside Go's buildlet in turns on connections that stay. */
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { CroftError } from '@croft/runtime/errors';
import { goPrograms } from '@croft/farm/go-programs';
import { startGoBuildlet, startOurBuildlet, type BuildletProcess } from '../buildlet-process.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { quantile } from '../samples.ts';

/** Before each of the two measurements: V8 optimises what was called some hundred times, and once more after some thousand. */
const phases = [
  { warmUps: 200, when: '' },
  { warmUps: 4_000, when: ', thousands later' },
] as const;
const batches = 20;
const commandsInBatch = 100;
const body = 'cmd=%2Fbin%2Ftrue&mode=sys&dir=';

export const exec: Row = { name: 'exec', about: 'POST /exec of true, from the request to its end, one at a time', run };

interface Peer extends Disposable {
  readonly buildlet: BuildletProcess;
  readonly agent: Agent;
}

/** Of each, ms. */
interface Batches {
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
  const measurements: Measurement[] = [];
  for (const { warmUps, when } of phases) {
    bench.progress(`${warmUps} commands to begin with`);
    for (let n = 0; n < warmUps; n += 1) for (const peer of peers) await execute(peer, bench);
    const taken = await takeBatches(peers, bench);
    const [ours, go] = [mine, theirs].map((peer) => peer && taken.get(peer));
    for (const which of ['p50', 'p99'] as const) {
      measurements.push({
        what: `exec of true, ${which} of ${commandsInBatch}${when}`,
        unit: 'ms',
        samples: ours?.[which] ?? [],
        ...(go ? { peer: { what: 'Go', samples: go[which] }, goal: quantile(go[which], 0.5) } : {}),
      });
    }
  }
  return measurements;
}

async function takeBatches(peers: readonly Peer[], bench: Bench): Promise<Map<Peer, Batches>> {
  const taken = new Map(peers.map((peer): [Peer, Batches] => [peer, { p50: [], p99: [] }]));
  for (let batch = 1; batch <= batches; batch += 1) {
    bench.progress(`batch ${batch} of ${batches}`);
    const times = new Map(peers.map((peer): [Peer, number[]] => [peer, []]));
    for (let n = 0; n < commandsInBatch; n += 1) for (const [peer, into] of times) into.push(await execute(peer, bench));
    for (const [peer, samples] of times) {
      taken.get(peer)?.p50.push(quantile(samples, 0.5));
      taken.get(peer)?.p99.push(quantile(samples, 0.99));
    }
  }
  return taken;
}

function peerOf(buildlet: BuildletProcess): Peer {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return { buildlet, agent, [Symbol.dispose]: () => agent.destroy() };
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
