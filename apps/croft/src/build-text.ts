/** A build in words: how it stands, how it ended, since when. */
import type { BuildSummary } from '@croft/protocol/api';
import { endText } from '@croft/domain/outcome';
import { formatDuration, formatRelative } from '@croft/web/html/format';
import { printable, type Cell, type Style } from '@croft/cli/terminal';

export function buildRow(build: BuildSummary, now: number): Cell[] {
  return [
    { text: wordOf(build), style: styleOf(build) },
    { text: build.id },
    { text: printable(build.builder) },
    { text: `${printable(build.repo)}@${build.revision.slice(0, 8)}` },
    { text: timeText(build, now) },
    { text: detailOf(build, now), style: 'gray' },
  ];
}

export function wordOf({ state, end }: BuildSummary): string {
  return state === 'ended' ? (end?.kind ?? 'ended') : state;
}

export function styleOf({ state, end }: BuildSummary): Style | undefined {
  if (state !== 'ended') return state === 'queued' ? 'gray' : 'blue';
  if (end?.kind === 'passed') return 'green';
  return end?.kind === 'failed' || end?.kind === 'timed-out' ? 'red' : 'yellow';
}

/** The exit status speaks of the commit: what did not pass has failed. */
export function hasPassed({ end }: BuildSummary): boolean {
  return end?.kind === 'passed';
}

export function timeText({ state, since, startedAt, endedAt }: BuildSummary, now: number): string {
  if (state === 'ended')
    return startedAt === undefined || endedAt === undefined ? formatRelative(since, now) : formatDuration(endedAt - startedAt);
  return formatDuration(now - (startedAt ?? since));
}

function detailOf({ state, end, wait, attempts, expectedEndAt, knownIssues }: BuildSummary, now: number): string {
  const known = knownIssues ? `; known: ${printable(knownIssues.join(' '))}` : '';
  if (state === 'ended') return end && end.kind !== 'passed' ? `${printable(endText(end))}${known}` : '';
  if (state === 'queued') return printable(wait?.text ?? '');
  return `attempt ${attempts}${expectedEndAt === undefined ? '' : `, end expected ${formatRelative(expectedEndAt, now)}`}`;
}
