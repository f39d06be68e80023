/** The line of first parents from a commit back, with the number that each commit has on it. */
import { parseRevision, type Revision } from '@croft/domain/names';
import { SECOND, type Waits } from '@croft/runtime/clock';
import type { Commit } from './git.ts';
import type { Git } from './git-command.ts';
import { plausibleSeconds } from './tree.ts';

export interface CommitLine {
  /** Newest first. */
  readonly commits: Commit[];
  /** How many commits the whole line has: the number of the newest one. */
  readonly position: number;
}

const maxKnown = 10_000;
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
    const fields = (await this.#git.run({ args, ...waits })).toString('utf8').split('\0');
    const commits = Array.from({ length: Math.floor(fields.length / fieldCount) }, (_, at) =>
      commitOf(fields.slice(at * fieldCount, (at + 1) * fieldCount)),
    );
    const known = commits.findIndex(({ revision }) => this.#known.has(revision));
    const whole = commits.length < limit ? commits.length : undefined;
    const position = whole ?? (this.#known.get(commits[known]?.revision ?? tip) ?? (await this.#count(tip, waits))) + Math.max(0, known);
    this.#remember(tip, position);
    return { commits, position };
  }

  /** For when history grew at its old end: a shallow source got deeper. */
  forget(): void {
    this.#known.clear();
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
