/** Archives to a buildlet and back, one large file and many small ones, beside Go's buildlet in the same rounds. */
import { createReadStream } from 'node:fs';
import { readdir, rename, stat } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { goPrograms } from '@croft/farm/go-programs';
import { startGoBuildlet, startOurBuildlet, type BuildletProcess } from '../buildlet-process.ts';
import { memoryIsKnown, watchPeak } from '../process-memory.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { median } from '../samples.ts';
import { makeSourceTrees, type SourceTree } from '../source-trees.ts';

const rounds = 5;
const goals = { unpack: 1.0, pack: 1.5, peakMB: 80 };
/** What a machine does behind an upload should not fall into the next measurement. */
const restMs = SECOND / 2;

export const tar: Row = { name: 'tar', about: 'PUT /writetgz and GET /tgz of source code, MB unpacked in a second', run };

interface Samples {
  readonly unpack: number[];
  readonly pack: number[];
  readonly peakMB: number[];
  /** Of the archive, MB. */
  readonly sizeMB: number[];
}

async function run(bench: Bench): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const go = await goPrograms({ env: process.env, progress: bench.progress, signal: bench.signal });
  const ours = stack.use(await startOurBuildlet(bench));
  const peers = [ours];
  if ('missing' in go) bench.progress(`without a peer: ${go.missing}`);
  else peers.push(stack.use(await startGoBuildlet(go.buildlet, bench)));
  const measured: Measurement[] = [];
  bench.progress('making trees');
  for (const tree of await makeSourceTrees(bench)) {
    const archive = `${tree.dir}.tgz`;
    await runProgram(['tar', '-C', tree.dir, '-czf', archive, '.'], bench);
    const samples = new Map(peers.map((peer): [BuildletProcess, Samples] => [peer, { unpack: [], pack: [], peakMB: [], sizeMB: [] }]));
    for (let round = 1; round <= rounds; round += 1) {
      for (const [peer, into] of samples) {
        bench.progress(`${tree.name}: round ${round} of ${rounds}, ${peer.maker}`);
        await sample({ peer, tree, archive, round }, into, bench);
      }
    }
    const [mine, theirs] = [...samples.values()];
    if (mine) measured.push(...measurements(tree, { mine, theirs, gzipMB: await gzipMB(ours, tree, bench) }));
  }
  return measured;
}

interface Round {
  readonly peer: BuildletProcess;
  readonly tree: SourceTree;
  readonly archive: string;
  readonly round: number;
}

async function sample({ peer, tree, archive, round }: Round, into: Samples, bench: Bench): Promise<void> {
  const { clock, signal } = bench;
  const dir = `${tree.files}-${round}`;
  await using peak = watchPeak(peer.pid, clock);
  let startedAt = clock.monotonic();
  await ask(peer, { method: 'PUT', path: `/writetgz?dir=${dir}`, body: archive }, bench);
  into.unpack.push(tree.bytes / 1e3 / (clock.monotonic() - startedAt));
  if (memoryIsKnown) into.peakMB.push(peak.peakMB);
  await clock.sleep(restMs, { signal });
  startedAt = clock.monotonic();
  const bytes = await ask(peer, { method: 'GET', path: `/tgz?dir=${dir}` }, bench);
  into.pack.push(tree.bytes / 1e3 / (clock.monotonic() - startedAt));
  into.sizeMB.push(bytes / 1e6);
  // what is deleted under a disk slows down what is made: everything stays until the end
  await rename(join(peer.workDir, dir), join(peer.workDir, `kept-${dir}`));
}

interface Question {
  readonly method: string;
  readonly path: string;
  /** A file. */
  readonly body?: string;
}

/** Bytes of the answer. @throws CroftError `unavailable` for any other status than 200 */
async function ask({ port, maker }: BuildletProcess, { method, path, body }: Question, { signal }: Bench): Promise<number> {
  const request = httpRequest({ host: '127.0.0.1', port, method, path, agent: false, signal });
  if (body) createReadStream(body, { highWaterMark: 256 * 1024 }).pipe(request);
  else request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) bytes += piece.length;
  if (response.statusCode !== 200)
    throw new CroftError('unavailable', `${maker} buildlet: ${method} ${path} was answered ${response.statusCode}`);
  return bytes;
}

/** What `gzip -6`, which packs as `pigz -6` does, makes of the same tar. */
async function gzipMB({ workDir }: BuildletProcess, tree: SourceTree, bench: Bench): Promise<number> {
  const kept = (await readdir(workDir)).find((name) => name.startsWith(`kept-${tree.files}-`)) ?? '.';
  const file = join(bench.dir, `${tree.files}.gz`);
  const script =
    'LC_ALL=C; export LC_ALL; cd "$1" && find . -mindepth 1 -printf "%P\\n" | sort | tar --no-recursion -T - -cf - | gzip -6 >"$2"';
  await runProgram(['sh', '-c', script, 'sh', join(workDir, kept), file], bench);
  return (await stat(file)).size / 1e6;
}

function measurements(
  tree: SourceTree,
  { mine, theirs, gzipMB: size }: { mine: Samples; theirs: Samples | undefined; gzipMB: number },
): Measurement[] {
  const files = tree.files === 1 ? `${Math.round(tree.bytes / 1e6)} MB in one file` : `${tree.files} files`;
  const beside = (key: 'unpack' | 'pack', times: number) =>
    theirs ? { peer: { what: 'Go', samples: theirs[key] }, goal: median(theirs[key]) * times } : {};
  return [
    { what: `writetgz, ${files}`, unit: 'MB/s', samples: mine.unpack, ...beside('unpack', goals.unpack) },
    ...(memoryIsKnown ? [{ what: `writetgz, ${files}: peak PSS`, unit: 'MB', samples: mine.peakMB, goal: goals.peakMB } as const] : []),
    { what: `tgz, ${files}`, unit: 'MB/s', samples: mine.pack, ...beside('pack', goals.pack) },
    { what: `tgz, ${files}: size`, unit: 'MB', samples: mine.sizeMB, goal: size, peer: { what: 'gzip -6', samples: [size] } },
  ];
}
