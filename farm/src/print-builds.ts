/**
 * Tells on the terminal what each attempt runs and why, how it ended, and which repository cannot be read. A spectator: what it
 * misses stands on the pages.
 */
import { endText } from '@croft/domain/outcome';
import type { BuildId } from '@croft/domain/names';
import type { BuildDetail, Change, Farm } from '@croft/protocol/api';
import type { Waits } from '@croft/runtime/clock';
import { formatDuration } from '@croft/web/html/format';

export interface Watched {
  changes(waits: Waits): AsyncIterable<Change>;
  build(id: BuildId): Promise<BuildDetail | undefined>;
  farm(): Promise<Pick<Farm, 'repos'>>;
}

/** Builds and repositories whose last line is remembered, so that no line comes twice. */
const remembered = 1_000;

export interface Printing extends Waits {
  /** Of the farm; stands before the addresses of builds. */
  readonly url: string;
}

/** Ends only with its signal, by throwing the reason. */
export async function printBuilds(watched: Watched, print: (line: string) => void, { url, ...waits }: Printing): Promise<void> {
  const told = new Map<string, string>();
  for await (const change of watched.changes(waits)) {
    const line = await lineAbout(change, watched, url);
    if (change.kind === 'farm' || change.kind === 'session' || line === undefined) continue;
    const about = change.kind === 'build' ? change.id : `repository ${change.repo}`;
    if (told.get(about) === line) continue;
    told.delete(about);
    told.set(about, line);
    if (told.size > remembered) told.delete(told.keys().next().value ?? '');
    print(line);
  }
}

async function lineAbout(change: Change, watched: Watched, url: string): Promise<string | undefined> {
  switch (change.kind) {
    case 'build': {
      const build = await watched.build(change.id as BuildId);
      return build && lineOf(build, url);
    }
    case 'commits': {
      const error = (await watched.farm()).repos.find(({ name }) => name === change.repo)?.error;
      return error === undefined ? undefined : plain(`${change.repo} cannot be read, and is tried again: ${error}`);
    }
    case 'farm':
    case 'session':
      return undefined;
    default:
      return change satisfies never;
  }
}

/** Undefined while there is nothing to tell: it waits, or what it runs is not known yet. */
function lineOf({ builder, revision, attemptList, url }: BuildDetail, farm: string): string | undefined {
  const attempt = attemptList.at(-1);
  if (!attempt) return undefined;
  const { number, end, endedAt, startedAt, reason, steps } = attempt;
  const head = `${builder} at ${revision.slice(0, 7)}${number > 1 ? `, attempt ${number}` : ''}`;
  if (end) return plain(`${head} ${endText(end)} (${formatDuration((endedAt ?? startedAt) - startedAt)}) ${farm}${url}`);
  const commands = steps.filter((step) => step.argv.length > 0).map((step) => step.argv.join(' '));
  return reason === undefined ? undefined : plain(`${head} runs ${commands.join(', then ')}: ${reason}`);
}

/** Names and evidence come from outside: nothing in them reaches the terminal as a command. */
function plain(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
