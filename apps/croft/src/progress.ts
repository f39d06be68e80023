/** One line at the bottom of a terminal that says how far a build is. It makes way for output, and is nothing anywhere else. */
import type { BuildSummary } from '@croft/protocol/api';
import { SECOND } from '@croft/runtime/clock';
import { createTaskGroup } from '@croft/runtime/tasks';
import { formatDuration } from '@croft/web/html/format';
import type { Cli } from '@croft/cli/program';
import { printable } from '@croft/cli/terminal';

export interface Progress extends AsyncDisposable {
  show(build: BuildSummary): void;
  /** Writes to stdout, with the line out of the way. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** A sentence for people, on a line of its own. */
  say(text: string): Promise<void>;
}

const clear = '\r\x1b[K';
const newline = 10;

export function createProgress({ stdout, stderr, clock, env }: Cli): Progress {
  const shown = stderr.isTerminal && env['TERM'] !== 'dumb';
  let build: BuildSummary | undefined;
  let drawn = false;
  let atLineStart = true;
  const draw = async (): Promise<void> => {
    if (!shown || !build || !atLineStart) return;
    drawn = true;
    await stderr.write(clear + progressText(build, clock.now()).slice(0, Math.max(1, stderr.columns - 1)));
  };
  const hide = async (): Promise<void> => {
    if (drawn) await stderr.write(clear);
    drawn = false;
  };
  // A terminal that is gone ends the command where it writes its output.
  const ticking = createTaskGroup(() => {});
  if (shown) {
    ticking.start('progress', async (waits) => {
      for (;;) {
        await draw();
        await clock.sleep(SECOND, waits);
      }
    });
  }
  return {
    show(next) {
      build = next;
    },
    async write(bytes) {
      await hide();
      await stdout.write(bytes);
      if (stdout.isTerminal && bytes.length > 0) atLineStart = Buffer.from(bytes.slice(-1)).at(0) === newline;
    },
    async say(text) {
      await hide();
      await stderr.write(`${atLineStart ? '' : '\n'}${printable(text)}\n`);
      atLineStart = true;
    },
    async [Symbol.asyncDispose]() {
      await ticking[Symbol.asyncDispose]();
      await hide().catch(() => {});
    },
  };
}

const barWidth = 20;

export function progressText(build: BuildSummary, now: number): string {
  const { state, startedAt, expectedEndAt, attempts, wait } = build;
  const name = printable(build.builder);
  if (state === 'queued') return `${name} waits${wait ? `: ${printable(wait.text)}` : ''}`;
  if (state === 'ended' || startedAt === undefined) return `${name} ${state}`;
  const head = `${name} attempt ${attempts}, ${formatDuration(now - startedAt)}`;
  if (expectedEndAt === undefined) return head;
  const part = Math.min(0.99, Math.max(0, (now - startedAt) / Math.max(1, expectedEndAt - startedAt)));
  const filled = Math.round(part * barWidth);
  const left =
    expectedEndAt > now
      ? `ends in about ${formatDuration(expectedEndAt - now)}`
      : `${formatDuration(now - expectedEndAt)} longer than usual`;
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${Math.floor(part * 100)} %  ${head}, ${left}`;
}
