/** The line of first parents from a commit back, with the number that each commit has on it. */
import { parseRevision, type Revision } from '@croft/domain/names';
import { SECOND, type Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Commit, CommitLine } from './git.ts';
import type { Git } from './git-command.ts';
import { plausibleSeconds } from './tree.ts';

const maxKnown = 10_000;
/** So many tips are read one by one: of those that moved a little, the position is known without their whole lines. */
const few = 3;
const format = '--format=tformat:%H%x00%P%x00%an%x00%ae%x00%ct%x00%s%x00%b';
const fieldCount = 7;
/** Characters of a message that may have megabytes. */
const most = { name: 200, subject: 1_000, body: 32_768 };

export class CommitLines {
  readonly #git: Git;
  readonly #dir: string;
  /** Positions that were counted, the oldest first: a newer tip is counted from the last one. */
  readonly #known = new Map<Revision, number>();

  constructor(git: Git, dir: string) {
    this.#git = git;
    this.#dir = dir;
  }

  async read(tip: Revision, limit: number, waits: Waits): Promise<CommitLine> {
    const args = [`--git-dir=${this.#dir}`, 'log', '--first-parent', '-z', `--max-count=${limit}`, format, tip, '--'];
    const commits = parseCommits(await this.#git.run({ args, ...waits }));
    const known = commits.findIndex(({ revision }) => this.#known.has(revision));
    const whole = commits.length < limit ? commits.length : undefined;
    const position = whole ?? (this.#known.get(commits[known]?.revision ?? tip) ?? (await this.#count(tip, waits))) + Math.max(0, known);
    this.#remember(tip, position);
    return { commits, position };
  }

  /** By tip; of many with as many processes as of one. Lines that are too long to be read together are read one by one. */
  async readAll(tips: readonly Revision[], limit: number, waits: Waits): Promise<Map<Revision, CommitLine>> {
    const parents = tips.length > few ? await this.#firstParents(tips, waits) : undefined;
    const lines = new Map<Revision, CommitLine>();
    if (!parents) {
      for (const tip of tips) lines.set(tip, await this.read(tip, limit, waits));
      return lines;
    }
    const line = (tip: Revision): Revision[] => take(parents, tip, limit);
    const commits = await this.#details(new Set(tips.flatMap(line)), waits);
    const positionOf = createPositions(parents);
    for (const tip of tips) {
      const position = positionOf(tip);
      lines.set(tip, { commits: line(tip).flatMap((revision) => commits.get(revision) ?? []), position });
      this.#remember(tip, position);
    }
    return lines;
  }

  /** For when history grew at its old end: a shallow source got deeper. */
  forget(): void {
    this.#known.clear();
  }

  /** Of every commit on the lines; a root has none. Undefined when that is too much. */
  async #firstParents(tips: readonly Revision[], waits: Waits): Promise<Map<Revision, Revision | undefined> | undefined> {
    const args = [`--git-dir=${this.#dir}`, 'rev-list', '--first-parent', '--parents', '--stdin'];
    try {
      const text = (await this.#git.run({ args, input: `${tips.join('\n')}\n`, ...waits })).toString('latin1');
      return new Map(text.split('\n').map((each) => each.split(' ', 2) as [Revision, Revision | undefined]));
    } catch (error) {
      if (isCode(error, 'exhausted')) return undefined;
      throw error;
    }
  }

  async #details(revisions: ReadonlySet<Revision>, waits: Waits): Promise<Map<Revision, Commit>> {
    const args = [`--git-dir=${this.#dir}`, 'log', '--no-walk=unsorted', '-z', format, '--stdin'];
    const input = `${[...revisions].join('\n')}\n`;
    return new Map(parseCommits(await this.#git.run({ args, input, ...waits })).map((commit) => [commit.revision, commit]));
  }

  async #count(tip: Revision, waits: Waits): Promise<number> {
    const args = [`--git-dir=${this.#dir}`, 'rev-list', '--first-parent', '--count', tip, '--'];
    return Number((await this.#git.run({ args, ...waits })).toString('latin1'));
  }

  #remember(tip: Revision, position: number): void {
    this.#known.set(tip, position);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxKnown && oldest !== undefined) this.#known.delete(oldest);
  }
}

function take(parents: ReadonlyMap<Revision, Revision | undefined>, tip: Revision, limit: number): Revision[] {
  const line: Revision[] = [];
  for (let at: Revision | undefined = tip; at !== undefined && line.length < limit; at = parents.get(at)) line.push(at);
  return line;
}

/** How many commits each line has, counting what lines share once. */
function createPositions(parents: ReadonlyMap<Revision, Revision | undefined>): (tip: Revision) => number {
  const known = new Map<Revision, number>();
  return (tip) => {
    const above: Revision[] = [];
    let at: Revision | undefined = tip;
    for (; at !== undefined && !known.has(at); at = parents.get(at)) above.push(at);
    let position = at === undefined ? 0 : (known.get(at) ?? 0);
    for (const revision of above.toReversed()) known.set(revision, (position += 1));
    return position;
  };
}

function parseCommits(output: Buffer): Commit[] {
  const fields = output.toString('utf8').split('\0');
  return Array.from({ length: Math.floor(fields.length / fieldCount) }, (_, at) =>
    commitOf(fields.slice(at * fieldCount, (at + 1) * fieldCount)),
  );
}

function commitOf([
  revision = '',
  parents = '',
  authorName = '',
  authorEmail = '',
  seconds = '',
  subject = '',
  body = '',
]: string[]): Commit {
  return {
    revision: parseRevision(revision),
    parents: parents
      .split(' ')
      .filter((id) => id !== '')
      .map(parseRevision),
    authorName: authorName.slice(0, most.name),
    authorEmail: authorEmail.slice(0, most.name),
    committedAt: plausibleSeconds(seconds) * SECOND,
    subject: subject.slice(0, most.subject),
    body: body.slice(0, most.body).trimEnd(),
  };
}
