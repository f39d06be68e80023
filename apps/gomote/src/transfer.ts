/** Bytes on their way, with a line at the bottom of a terminal that says how far they are. */
import { SECOND } from '@croft/runtime/clock';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { Cli } from '@croft/cli/program';
import { formatBytes } from '@croft/web/html/format';

export interface Counted extends AsyncDisposable {
  add(bytes: number): void;
  /** The same pieces, counted. */
  through<Piece extends Uint8Array>(pieces: AsyncIterable<Piece>): AsyncGenerator<Piece>;
}

const everyMs = 200;
const barWidth = 24;

/** @param of `total`: bytes, where it is known */
export function countedBytes({ stderr, clock, env }: Cli, { what, total }: { what: string; total?: number | undefined }): Counted {
  const isShown = stderr.isTerminal && env['TERM'] !== 'dumb';
  const startedAt = clock.monotonic();
  let done = 0;
  let drawn = false;
  const ticking = createTaskGroup(() => {}); // a terminal that is gone ends the command where it writes
  if (isShown) {
    ticking.start('progress', async (waits) => {
      for (;;) {
        await clock.sleep(everyMs, waits);
        drawn = true;
        await stderr.write(
          `\r\x1b[K${progressLine({ what, done, total, tookMs: clock.monotonic() - startedAt }).slice(0, stderr.columns - 1)}`,
        );
      }
    });
  }
  const add = (bytes: number): void => void (done += bytes);
  return {
    add,
    async *through(pieces) {
      for await (const piece of pieces) {
        add(piece.length);
        yield piece;
      }
    },
    async [Symbol.asyncDispose]() {
      await ticking[Symbol.asyncDispose]();
      if (drawn) await stderr.write('\r\x1b[K').catch(() => {});
    },
  };
}

interface Far {
  readonly what: string;
  readonly done: number;
  readonly total: number | undefined;
  readonly tookMs: number;
}

function progressLine({ what, done, total, tookMs }: Far): string {
  const rate = `${formatBytes((done * SECOND) / Math.max(1, tookMs))}/s`;
  if (total === undefined || total === 0) return `${what}  ${formatBytes(done)}  ${rate}`;
  const part = Math.min(1, done / total);
  const filled = Math.round(part * barWidth);
  return `${what}  [${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${Math.floor(part * 100)} %  ${formatBytes(done)} of ${formatBytes(total)}  ${rate}`;
}
