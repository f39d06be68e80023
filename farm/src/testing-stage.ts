/** A place beside the farm where the commands of a test leave marks and wait at gates, so that a test decides what happens when. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Stage extends AsyncDisposable {
  readonly dir: string;
  /**
   * An executable script around this body, which runs under `set -eu` and has: `$RUN` (`BUILD.ATTEMPT.STEP`), `say TEXT` (to the log,
   * and kept for `said`), `mark NAME TEXT` (kept whole or not at all), `wait_at GATE`, and `linger`, which leaves a process behind
   * in a session and a directory of its own, marked as `lingers`.
   */
  script(body: string): string;
  /** Lets everything through that waits there, now and later. */
  open(gate: string): Promise<void>;
  close(gate: string): Promise<void>;
  /** What that run has marked, undefined while it has not. */
  marked(run: string, name: string): Promise<string | undefined>;
  markedPid(run: string, name?: string): Promise<number | undefined>;
  /** Everything that run said. */
  said(run: string): Promise<Buffer>;
}

export async function makeStage(): Promise<Stage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-stage-'));
  const marked = (run: string, name: string): Promise<string | undefined> =>
    readFile(join(dir, `${run}.${name}`), 'utf8').catch(() => undefined);
  return {
    dir,
    script: (body) => `${head(dir)}${body}\n`,
    open: (gate) => writeFile(join(dir, gate), ''),
    close: (gate) => rm(join(dir, gate), { force: true }),
    marked,
    async markedPid(run, name = 'pid') {
      const text = await marked(run, name);
      return text === undefined ? undefined : Number(text);
    },
    said: (run) => readFile(join(dir, `${run}.said`)),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

function head(dir: string): string {
  return `#!/bin/sh
set -eu
STAGE='${dir}'
RUN=\${CROFT_COOKIE##*:}
say() { printf '%s\\n' "$*" >> "$STAGE/$RUN.said"; printf '%s\\n' "$*"; }
mark() { printf '%s' "$2" > "$STAGE/$RUN.$1.new"; mv "$STAGE/$RUN.$1.new" "$STAGE/$RUN.$1"; }
wait_at() { while [ ! -e "$STAGE/$1" ]; do sleep 0.02; done; }
linger() {
  setsid sh -c 'cd /; printf %s $$ > "$1.new"; mv "$1.new" "$1"; exec sleep 3600' sh "$STAGE/$RUN.lingers" &
  wait_at "$RUN.lingers"
}
mark pid $$
`;
}
