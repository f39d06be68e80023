/** One key's echo: from a key that is written to a shell's terminal until it is read among what the terminal shows, by the buildlet's client. */
import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { createBuildlet, type Buildlet, type Feed } from '@croft/buildlet/client';
import type { RunId } from '@croft/domain/names';
import { HOUR } from '@croft/runtime/clock';
import { openPlace, startBuildlet } from '../reverse-place.ts';
import type { Bench, Measurement, Row } from '../row.ts';

const rounds = 5;
const keysEach = 400;
const betweenMs = 2;
const goalMs = 5;
const epoch = 1;

export const keys: Row = {
  name: 'keys',
  about: `99th percentile of ${keysEach} keys’ echo on a terminal of a machine on loopback, and of one behind a reverse line`,
  run,
};

async function run(bench: Bench): Promise<Measurement[]> {
  const measured: Measurement[] = [];
  for (const way of ['loopback', 'reverse line'] as const) {
    const dir = join(bench.dir, way.replace(' ', '-'));
    await mkdir(dir, { mode: 0o700 });
    const here = { ...bench, dir };
    await using place = way === 'loopback' ? undefined : await openPlace(here);
    await using machine = await startBuildlet({ program: undefined, place, host: 'keys' }, here);
    await using buildlet = createBuildlet({ ...machine.address, password: '' }, { clock: bench.clock });
    bench.progress(way);
    measured.push({ what: way, unit: 'ms', samples: await echoes(buildlet, bench), goal: goalMs });
  }
  return measured;
}

/** The 99th percentile of each round, over one request for all keys and one for all output, as a door holds them. */
async function echoes(buildlet: Buildlet, { clock, signal }: Bench): Promise<number[]> {
  const id = 'S0.keys' as RunId;
  const terminal = { cols: 80, rows: 24, term: 'xterm' };
  const limits = { limitMs: HOUR, outputLimitBytes: 1_000_000 };
  await buildlet.startOrAttach(id, { argv: ['cat'], dir: '.', env: {}, ...limits, pty: terminal }, epoch, { signal });
  const over = new AbortController();
  const typed = createTyping();
  const input = buildlet.writeStdin(id, { from: 0, content: typed.feed }, epoch, { signal: over.signal }).catch(() => undefined);
  const shown = buildlet.output(id, 0, { signal: AbortSignal.any([signal, over.signal]) });
  const samples: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const times: number[] = [];
    for (let key = 0; key < keysEach; key += 1) {
      const from = clock.monotonic();
      typed.press('x');
      await shown.next();
      times.push(clock.monotonic() - from);
      await clock.sleep(betweenMs, { signal });
    }
    samples.push(times.toSorted((a, b) => a - b)[Math.ceil(keysEach * 0.99) - 1] ?? 0);
  }
  over.abort(new Error('enough keys'));
  await input;
  await buildlet.cancel(id, 'measured', epoch, { signal });
  return samples;
}

interface Typing {
  readonly feed: Feed;
  press(key: string): void;
}

function createTyping(): Typing {
  const pressed: Buffer[] = [];
  let changed = (): void => undefined;
  const feed = { next: () => pressed.splice(0), listen: (act: () => void) => void (changed = act), sent: () => undefined };
  const press = (key: string): void => {
    pressed.push(Buffer.from(key));
    changed();
  };
  return { feed, press };
}
