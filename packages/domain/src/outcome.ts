/** How a command ends, and how an attempt ends. Only what the remote command itself did turns a cell red. */

/** The end of one run, as the buildlet reports it. */
export type Exit =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: string }
  /** The program does not exist, is not executable, or its directory is missing. */
  | { readonly kind: 'not-started'; readonly reason: string }
  /** Killed because of a limit of its own. */
  | { readonly kind: 'over-limit'; readonly limit: 'time' | 'output'; readonly reason: string }
  /** Killed because the coordinator asked. */
  | { readonly kind: 'killed'; readonly reason: string }
  /** The buildlet that ran it died or ended itself; the exit status was never seen. */
  | { readonly kind: 'lost'; readonly reason: string };

/** What the machine of a command saw while it ran. Told beside its end. */
export interface Seen {
  readonly usage?: Usage | undefined;
  /** What the machine went through, one sentence each. */
  readonly evidence?: readonly string[] | undefined;
}

export interface Usage {
  readonly cpuMs: number;
  readonly peakBytes: number;
  /** Processes that the machine killed for lack of memory. */
  readonly oomKills: number;
}

export const infraCauses = [
  'buildlet-died', // the buildlet ended while a command ran
  'machine-lost', // not heard from for 15 s, gone as its provider says, or back without the tree of the attempt
  'machine-unfit', // it refused the work: disk full, broken directory; or its memory ran out and it killed the command
  'source-failed', // the tree could not be read or pushed
  'log-failed', // the log could not be stored
  'artifacts-failed', // what the build had left behind could not be brought from the machine or stored
  'farm-stopped', // the operator ended the farm; does not count towards the limit
  'internal', // a bug in Croft
] as const;
export type InfraCause = (typeof infraCauses)[number];

export type AttemptEnd =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly step: string; readonly text: string }
  | { readonly kind: 'timed-out'; readonly step: string; readonly text: string }
  | { readonly kind: 'cancelled'; readonly by: string; readonly why: string }
  | { readonly kind: 'infra'; readonly cause: InfraCause; readonly evidence: string }
  | { readonly kind: 'skipped'; readonly why: string };

export type EndKind = AttemptEnd['kind'];

/**
 * What a step's exit means for its attempt; undefined when the next step may run. A command that the machine killed because its memory ran
 * out did not end by anything it did itself; one that lost a child that way and said so by its exit status did.
 */
export function endOfStep(step: string, exit: Exit, { usage, evidence = [] }: Seen = {}): AttemptEnd | undefined {
  switch (exit.kind) {
    case 'exited':
      return exit.code === 0 ? undefined : { kind: 'failed', step, text: `exit status ${exit.code}` };
    case 'signalled':
      if (exit.signal === 'SIGKILL' && usage && usage.oomKills > 0) {
        return { kind: 'infra', cause: 'machine-unfit', evidence: `${step} was killed: ${evidence.join('; ')}` };
      }
      return { kind: 'failed', step, text: `signal: ${exit.signal}` };
    case 'not-started':
      return { kind: 'failed', step, text: exit.reason };
    case 'over-limit':
      return { kind: exit.limit === 'time' ? 'timed-out' : 'failed', step, text: exit.reason };
    case 'killed':
      return { kind: 'cancelled', by: 'coordinator', why: exit.reason };
    case 'lost':
      return { kind: 'infra', cause: 'buildlet-died', evidence: exit.reason };
    default:
      return exit satisfies never;
  }
}

/** The cell of the originals' JSON (coordinator.md 9.5): `ok`, the log's address, or empty for "needs a build". */
export function legacyResult(end: Pick<AttemptEnd, 'kind'> | undefined, logUrl: string): string {
  if (end?.kind === 'passed') return 'ok';
  return end?.kind === 'failed' || end?.kind === 'timed-out' ? logUrl : '';
}

/** One line for people. */
export function endText(end: AttemptEnd): string {
  switch (end.kind) {
    case 'passed':
      return 'passed';
    case 'failed':
    case 'timed-out':
      return `${end.kind} in ${end.step}: ${end.text}`;
    case 'cancelled':
      return `cancelled by ${end.by}: ${end.why}`;
    case 'infra':
      return `infrastructure (${end.cause}): ${end.evidence}`;
    case 'skipped':
      return `skipped: ${end.why}`;
    default:
      return end satisfies never;
  }
}
