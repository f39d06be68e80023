/**
 * When a failure is taken for a flake by `croft retrybuilds --redo-flaky`, as data (coordinator.md RET-5). The first rule that
 * matches counts. `--rules FILE` puts others in their place; docs/using/retrybuilds.md explains the fields.
 */

export interface FlakyRule {
  readonly name: string;
  /** What it is a sign of. */
  readonly why: string;
  /** Also hits genuine failures: counts with `--broad` alone. */
  readonly broad?: boolean;
  readonly startsWith?: string;
  /** All of them. */
  readonly contains?: readonly string[];
  readonly containsAny?: readonly string[];
  readonly newlinesBelow?: number;
  /** Without the space around the text. */
  readonly innerNewlinesBelow?: number;
}

export const flakyRules: readonly FlakyRule[] = [
  { name: 'almost-empty', why: 'the build ended before it had anything to say', innerNewlinesBelow: 2 },
  { name: 'exit-status-only', why: 'the machine told no more than a status', startsWith: 'exit status ' },
  { name: 'timed-out', why: 'the farm’s own limit was reached', startsWith: 'timed out after ' },
  { name: 'not-scheduled', why: 'every machine that ran a test was lost', startsWith: 'Failed to schedule ' },
  { name: 'not-scheduled-later', why: 'every machine that ran a test was lost', containsAny: ['Failed to schedule "'] },
  {
    name: 'disk-full',
    why: 'the machine had no space left',
    containsAny: [
      'No space left on device',
      'no space left on device',
      'fatal error: error in backend: IO failure on output stream',
      'Boffset: unknown state 0',
      'Bseek: unknown state 0',
    ],
  },
  {
    name: 'source-not-got',
    why: 'the repository’s server failed',
    containsAny: [
      'error exporting repository: exit status',
      'remote error: User Is Over Quota',
      'fatal: remote did not send all necessary objects',
    ],
  },
  {
    name: 'source-in-the-way',
    why: 'an earlier build left its tree behind',
    contains: ["fatal: destination path '", "' already exists and is not an empty directory."],
  },
  {
    name: 'name-lookup',
    why: 'the machine’s network could not resolve a public name',
    containsAny: [
      'lookup _xmpp-server._tcp.google.com. on 8.8.8.8:53: dial udp 8.8.8.8:53: i/o timeout',
      'lookup _xmpp-server._tcp.google.com on',
      'lookup gmail.com. on 8.8.8.8:53: dial udp 8.8.8.8:53: i/o timeout',
      'lookup gmail.com on 8.8.8.8:53',
      'lookup www.mit.edu on ',
    ],
  },
  { name: 'old-bootstrap', why: 'the machine’s bootstrap is too old', containsAny: ['undefined: runtime.SetMutexProfileFraction'] },
  { name: 'windows-make', why: 'the machine’s shell failed', containsAny: ['make.bat: The parameter is incorrect'] },
  { name: 'short-with-status', why: 'a tool failed before anything was built', contains: ['error: exit status'], newlinesBelow: 20 },
  { name: 'killed', why: 'something was killed, perhaps for want of memory', broad: true, containsAny: ['killed', 'Killed'] },
  { name: 'memory', why: 'there may have been too little memory', broad: true, containsAny: ['memory', 'allocate'] },
  { name: 'api-checker', why: 'the API checker could not run', broad: true, containsAny: ['Error running API checker: exit status 1'] },
  {
    name: 'tool-failed',
    why: 'the compiler or the linker ended without saying why',
    broad: true,
    containsAny: ['/compile: exit status 1', 'cmd/link: exit status 1'],
  },
];
