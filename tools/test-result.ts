/** From the events of one test file to its counts, failures and skips. Counts leaves: a test with subtests or a suite is none. */
export type TestEvent =
  | { readonly kind: 'enqueue'; readonly id: number; readonly parent: number; readonly name: string }
  | {
      readonly kind: 'end';
      readonly id: number;
      readonly parent: number;
      readonly name: string;
      readonly suite: boolean;
      readonly passed: boolean;
      readonly skip?: string;
      readonly todo?: string;
      /** The test runner's word for why it failed: `testCodeFailure`, `subtestsFailed`, … */
      readonly reason?: string;
      readonly error?: string;
      readonly at?: string;
    }
  | { readonly kind: 'note'; readonly message: string }
  | { readonly kind: 'summary' };

/** How the file's process came to its end. */
export interface FileEnd {
  readonly file: string;
  /** Undefined when it exited with 0. */
  readonly exit: string | undefined;
  /** Why the runner ended it, if it did. */
  readonly ended: string | undefined;
  readonly elapsedMs: number;
  /** The last of what it printed. */
  readonly output: string;
  /** True when options chose among its tests, so that there may be none. */
  readonly filtered: boolean;
}

export interface Failure {
  readonly name: string;
  readonly at?: string | undefined;
  readonly text: string;
}

export interface FileResult {
  readonly file: string;
  readonly elapsedMs: number;
  readonly passed: number;
  readonly failures: readonly Failure[];
  readonly skips: readonly { readonly name: string; readonly reason: string }[];
  readonly output: string;
}

type End = Extract<TestEvent, { kind: 'end' }>;

export function foldEvents(events: readonly TestEvent[], end: FileEnd): FileResult {
  const names = new Map(events.flatMap((event) => (event.kind === 'enqueue' ? [[event.id, event] as const] : [])));
  const parents = new Set([...names.values()].map((event) => event.parent));
  const ends = events.filter((event) => event.kind === 'end');
  const leaves = ends.filter((test) => !parents.has(test.id) && (!test.suite || test.skip !== undefined));
  const skips = leaves.filter(isSkip).map((test) => ({ name: fullName(test, names), reason: skipReason(test) }));
  const failures = ends
    .filter((test) => !test.passed && test.todo === undefined && (!parents.has(test.id) || test.reason !== 'subtestsFailed'))
    .map((test) => ({ name: fullName(test, names), at: test.at, text: test.error ?? 'failed' }));
  const broken = fileFailure(events, { end, tests: leaves.length, failures: failures.length });
  return {
    file: end.file,
    elapsedMs: end.elapsedMs,
    passed: leaves.filter((test) => test.passed && !isSkip(test)).length,
    failures: broken ? [...failures, { name: end.file, text: broken }] : failures,
    skips,
    output: end.output + notes(events),
  };
}

/** Ids of tests that were announced and have not ended, with their names. */
export function pendingTests(events: readonly TestEvent[]): Map<number, string> {
  const pending = new Map<number, string>();
  for (const event of events) {
    if (event.kind === 'enqueue') pending.set(event.id, event.name);
    if (event.kind === 'end') pending.delete(event.id);
  }
  return pending;
}

function isSkip(test: End): boolean {
  return test.skip !== undefined || test.todo !== undefined;
}

function skipReason({ skip, todo }: End): string {
  const [word, given] = skip === undefined ? ['todo', todo] : ['', skip];
  const reason = given === undefined || given === '' || given === 'true' ? 'no reason given' : given;
  return word ? `${word}: ${reason}` : reason;
}

function fullName(test: { name: string; parent: number }, names: ReadonlyMap<number, { name: string; parent: number }>): string {
  const above = names.get(test.parent);
  return above ? `${fullName(above, names)} > ${test.name}` : test.name;
}

/** What is wrong with the file as a whole, which no test of it says. */
function fileFailure(
  events: readonly TestEvent[],
  { end, tests, failures }: { end: FileEnd; tests: number; failures: number },
): string | undefined {
  const pending = [...pendingTests(events).values()];
  const during = pending.length > 0 ? `; not ended: ${pending.slice(0, 5).join(', ')}` : '';
  if (end.ended) return `the file ${end.ended}${during}`;
  if (end.exit && (failures === 0 || end.exit !== 'exited with code 1')) return `the file's process ${end.exit}${during}`;
  if (!events.some((event) => event.kind === 'summary'))
    return `the file's process ended before its tests: it holds none, or something called process.exit${during}`;
  if (tests === 0 && failures === 0 && !end.filtered) return 'the file holds no test';
  return undefined;
}

/** What tests said through `t.diagnostic`, without the runner's own closing counts. */
function notes(events: readonly TestEvent[]): string {
  const said = events.filter((event) => event.kind === 'note').map((event) => event.message);
  const own = said.filter((message) => !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message));
  return own.map((message) => `\n[note] ${message}`).join('');
}
