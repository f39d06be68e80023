/** Follows a build to its end: through waiting, each attempt's log, and the farm being away in between. */
import type { AttemptView, BuildDetail } from '@croft/protocol/api';
import { endText } from '@croft/domain/outcome';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import type { Client } from '@croft/web/client';
import { hasPassed } from './build-text.ts';
import type { Cli } from '@croft/cli/program';
import { createProgress } from './progress.ts';

/** Takes the bytes of an attempt from an offset on. */
export type LogSink = (bytes: Uint8Array, attempt: number, from: number) => Promise<void>;

export interface FollowOptions {
  /** Only this one; otherwise each from the last one on. */
  readonly attempt: number | undefined;
  readonly from: number;
  readonly cli: Cli;
  readonly toSink: (write: (data: Uint8Array | string) => Promise<void>) => LogSink;
}

const pollMs = SECOND;
const patienceMs = 10 * MINUTE;

/** @returns whether what was followed has passed */
export async function followBuild(client: Client, build: string, { attempt: only, from, cli, toSink }: FollowOptions): Promise<boolean> {
  await using progress = createProgress(cli);
  const sink = toSink((data) => progress.write(data));
  const look = (ready: (detail: BuildDetail) => boolean): Promise<BuildDetail> =>
    until(client, build, cli, (detail) => {
      progress.show(detail);
      return ready(detail);
    });
  let detail = await look(() => true);
  for (let number = only ?? Math.max(1, detail.attempts), offset = from; ; number += 1, offset = 0) {
    detail = await look((seen) => attemptOf(seen, number) !== undefined || seen.state === 'ended');
    if (!attemptOf(detail, number)) break;
    for await (const bytes of client.followLog({ build, attempt: number, from: offset })) {
      await sink(bytes, number, offset);
      offset += bytes.length;
    }
    detail = await look((seen) => attemptOf(seen, number)?.state === 'ended' && (seen.state !== 'running' || seen.attempts > number));
    const end = attemptOf(detail, number)?.end;
    if (only !== undefined) return end?.kind === 'passed';
    if (detail.state === 'ended' && detail.attempts === number) break;
    await progress.say(`attempt ${number} ended: ${end ? endText(end) : 'unknown'}; waiting for the next one`);
  }
  await progress.say(detail.end ? endText(detail.end) : detail.state);
  return hasPassed(detail);
}

function attemptOf({ attemptList }: BuildDetail, number: number): AttemptView | undefined {
  return attemptList.find((attempt) => attempt.number === number);
}

/** Looks again and again, also while the farm is being restarted. */
async function until(client: Client, build: string, { clock, random }: Cli, ready: (detail: BuildDetail) => boolean): Promise<BuildDetail> {
  let heardAt = clock.monotonic();
  for (let tries = 0; ; tries += 1) {
    try {
      const detail = await client.call('build.get', { params: { build } });
      if (ready(detail)) return detail;
      heardAt = clock.monotonic();
      tries = 0;
    } catch (error) {
      if (!isCode(error, 'unavailable') || clock.monotonic() - heardAt > patienceMs) throw error;
    }
    await clock.sleep(Math.max(pollMs, backoffMs(tries, random)));
  }
}
