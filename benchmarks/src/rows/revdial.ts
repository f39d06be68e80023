/**
 * What the way over a picked-up connection costs: a command and a 1 GB stream each way, to our buildlet and to Go's on the same coordinator
 * code, and to both of them directly.
 */
import { createGoClient, type GoClient } from '@croft/buildlet/go-client';
import { goPrograms } from '@croft/farm/go-programs';
import { anySignal, MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { openPlace, startBuildlet } from '../reverse-place.ts';
import type { Bench, Measurement, Row } from '../row.ts';

/** As many as in the row `exec`. */
const warmUps = 200;
const execs = 300;
const streams = 3;
const streamBytes = 1e9;

export const revdial: Row = { name: 'revdial', about: 'a command and 1 GB each way over a reverse line', run };

type Way = 'over a line' | 'directly';
type Act = 'exec' | 'out' | 'in';

interface Subject {
  readonly maker: 'Croft' | 'Go';
  readonly way: Way;
  readonly client: GoClient;
}

async function run(bench: Bench): Promise<Measurement[]> {
  const { signal, progress } = bench;
  const programs = await goPrograms({ env: process.env, progress, signal });
  await using stack = new AsyncDisposableStack();
  const place = stack.use(await openPlace(bench));
  const makers = 'missing' in programs ? (['Croft'] as const) : (['Croft', 'Go'] as const);
  const subjects: Subject[] = [];
  for (const maker of makers) {
    for (const way of ['over a line', 'directly'] as const) {
      const program = maker === 'Go' && 'buildlet' in programs ? programs.buildlet : undefined;
      const host = `${maker}-${way === 'directly' ? 'dialled' : 'dials'}`.toLowerCase();
      const wish = { program, host, place: way === 'directly' ? undefined : place };
      const { address } = stack.use(await startBuildlet(wish, bench));
      subjects.push({ maker, way, client: stack.use(createGoClient({ ...address, password: '' }, { clock: bench.clock })) });
    }
  }
  const samples = new Map<string, number[]>();
  const keep = ({ maker, way }: Subject, act: Act, sample: number): void => {
    const key = `${maker} ${way} ${act}`;
    samples.set(key, [...(samples.get(key) ?? []), sample]);
  };
  for (let round = -warmUps; round < execs; round += 1) {
    progress(`exec ${round} of ${execs}`);
    // What one leaves to do after its answer falls on the next: so each of them is behind its maker's other one as often as behind a stranger.
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      const ms = await timed(bench, () => execTrue(subject, bench));
      if (round >= 0) keep(subject, 'exec', ms);
    }
  }
  for (let round = 0; round < streams; round += 1) {
    for (const act of ['out', 'in'] as const) {
      for (const subject of subjects) {
        progress(`1 GB ${act}, ${subject.maker} ${subject.way}, ${round + 1} of ${streams}`);
        const ms = await timed(bench, () => (act === 'out' ? streamOut(subject, bench) : streamIn(subject, bench)));
        keep(subject, act, (streamBytes / 1e6 / ms) * SECOND);
      }
    }
  }
  return report(samples);
}

function report(samples: ReadonlyMap<string, number[]>): Measurement[] {
  const named = { exec: 'exec of true, round trip', out: '1 GB out of a command', in: '1 GB into a file' } as const;
  return (['over a line', 'directly'] as const).flatMap((way) =>
    (['exec', 'out', 'in'] as const).map((act): Measurement => {
      const peer = samples.get(`Go ${way} ${act}`);
      const ours = samples.get(`Croft ${way} ${act}`) ?? [];
      const unit = act === 'exec' ? 'ms' : 'MB/s';
      return { what: `${named[act]}, ${way}`, unit, samples: ours, ...(peer && { peer: { what: 'Go’s buildlet', samples: peer } }) };
    }),
  );
}

async function timed({ clock }: Bench, act: () => Promise<void>): Promise<number> {
  const from = clock.monotonic();
  await act();
  return clock.monotonic() - from;
}

async function execTrue({ client, maker }: Subject, { signal, clock }: Bench): Promise<void> {
  const outcome = await client.exec('/bin/true', { systemLevel: true }, { signal: anySignal(signal, clock.deadline(MINUTE)) });
  if (outcome.state !== 'ok') throw new CroftError('unavailable', `true on ${maker}: ${JSON.stringify(outcome)}`);
}

async function streamOut({ client }: Subject, { signal, clock }: Bench): Promise<void> {
  let bytes = 0;
  const output = (piece: Uint8Array): void => void (bytes += piece.length);
  const waits = { signal: anySignal(signal, clock.deadline(2 * MINUTE)) };
  await client.exec('/usr/bin/head', { systemLevel: true, args: ['-c', String(streamBytes), '/dev/zero'], output }, waits);
  if (bytes !== streamBytes) throw new CroftError('unavailable', `${bytes} bytes came`);
}

async function streamIn({ client }: Subject, { signal, clock }: Bench): Promise<void> {
  const piece = Buffer.alloc(1e6);
  async function* content(): AsyncGenerator<Buffer> {
    for (let sent = 0; sent < streamBytes; sent += piece.length) yield piece;
  }
  await client.put('in.bin', { mode: 0o644, content: content() }, { signal: anySignal(signal, clock.deadline(2 * MINUTE)) });
}
