/** What is to be done: the job of an attempt, the builder it comes from, and the identity of a build. */
import { sha256Hex } from '@croft/runtime/digest';
import { canonicalJson } from './canonical-json.ts';
import type { BuilderName, BuildId, RepoName, Revision } from './names.ts';

export interface RepoRevision {
  readonly repo: RepoName;
  readonly revision: Revision;
}

/** Why something is built. `branch`: the commit is on it; `change`: a proposed change; `asked`: a person wants it. */
export interface Trigger {
  readonly kind: 'branch' | 'change' | 'asked';
  /** Branch name, change id or the person. */
  readonly ref: string;
}

/** Scheduling bands, most urgent first. */
export const bands = ['interactive', 'release', 'presubmit', 'post-submit', 'back-fill', 'benchmark'] as const;
export type Band = (typeof bands)[number];

export const roles = ['setup', 'build', 'list-tests', 'run-tests', 'step'] as const;
export type Role = (typeof roles)[number];

export interface Step {
  readonly name: string;
  readonly role: Role;
  /** Program and arguments; a program without a slash is looked up in the job's PATH. */
  readonly argv: readonly string[];
  /** Added to the job's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Relative to the root of the first repository; `.` is the root. */
  readonly dir: string;
  readonly limitMs: number;
  /** Variables that hold secrets, by the secret's name; their values are never stored. */
  readonly secrets?: Readonly<Record<string, string>>;
}

export interface Needs {
  /** All of them must be among the machine's labels. */
  readonly labels: readonly string[];
  readonly cpus?: number;
  readonly memoryBytes?: number;
}

export type Isolation = 'none' | 'container' | 'vm';
export type Trust = 'trusted' | 'untrusted';

/** One job model for pushed builds (owner: a builder) and pulled work (owner: a tenant). */
export interface Job {
  readonly owner: { readonly kind: 'builder'; readonly name: BuilderName } | { readonly kind: 'tenant'; readonly name: string };
  /** The first is the one being tested and the root of the tree. */
  readonly revisions: readonly RepoRevision[];
  readonly trigger: Trigger;
  readonly configHash: string;
  readonly steps: readonly Step[];
  readonly env: Readonly<Record<string, string>>;
  /** Variables of every step that hold secrets, by the secret's name. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly needs: Needs;
  readonly isolation: Isolation;
  readonly trust: Trust;
  /** What it leaves behind; absent in jobs that an earlier release planned. */
  readonly artifacts?: readonly Artifact[];
  readonly caches?: readonly JobCache[];
  readonly services?: readonly Service[];
}

export interface Retention {
  /** Logs of builds that ended longer ago are removed, ms. */
  readonly logAgeMs: number;
  /** All logs of one builder together, oldest removed first, bytes. */
  readonly logBytes: number;
  /** All artifacts of one builder together, oldest removed first, bytes. */
  readonly artifactBytes: number;
}

/** Files that a build leaves behind and that are kept. */
export interface Artifact {
  readonly name: string;
  /** Patterns over paths relative to the root of the tree; a directory brings its contents. */
  readonly paths: readonly string[];
  /** Of which builds. */
  readonly when: 'passed' | 'failed' | 'always';
  /** A build that does not leave it behind has not passed. */
  readonly required: boolean;
  /** One that is larger is not kept. */
  readonly maxBytes: number;
  readonly keepMs: number;
}

/** Files that builds of one builder hand on to the next ones. */
export interface Cache {
  readonly name: string;
  /** Relative to the root of the tree. */
  readonly paths: readonly string[];
  /** Another text is another entry. `{hash:PATTERN}` stands for the contents of those files of the commit. */
  readonly key: string;
  /** Patterns over further files of the commit whose contents are part of the key. */
  readonly keyFiles: readonly string[];
  /** Where there is no entry for the key, the newest will do whose key begins alike, up to the first hash. */
  readonly fallback: boolean;
  /** A larger one is not saved. */
  readonly maxBytes: number;
}

/** A cache as one job uses it. */
export interface JobCache extends Pick<Cache, 'name' | 'paths' | 'maxBytes'> {
  readonly key: string;
  /** How keys begin that will do, too. */
  readonly prefix?: string | undefined;
}

/** A program that runs beside the steps, such as a database; they find it by `SERVICE_NAME_HOST` and `SERVICE_NAME_PORT`. */
export interface Service {
  readonly name: string;
  /** Program and arguments, begun in the tree with `HOST` and `PORT` set. */
  readonly argv?: readonly string[] | undefined;
  /** Instead of `argv`, on machines that run containers. */
  readonly image?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly ready: {
    /** Tried until it exits with 0; without, the port is tried. */
    readonly argv?: readonly string[] | undefined;
    readonly withinMs: number;
  };
}

/** What a shell gets beside its builder's variables. Paths are relative to the work directory. */
export interface Shell {
  /** `$WORKDIR` stands for the work directory. */
  readonly env: Readonly<Record<string, string>>;
  /** Directories that come after the machine's own PATH. */
  readonly path: readonly string[];
  /** Where it begins; undefined: in the tree of the first repository. */
  readonly dir?: string | undefined;
  /** Whether it gets the variables that hold the builder's secrets. */
  readonly secrets: boolean;
}

/** A named way to build repositories. `steps: 'detect'` finds the command in each commit's own tree. */
export interface Builder {
  readonly name: BuilderName;
  /** The repositories it builds. */
  readonly repos: readonly RepoName[];
  /** Undefined: any machine that has what it needs. */
  readonly hostType: string | undefined;
  readonly steps: readonly Step[] | 'detect';
  readonly env: Readonly<Record<string, string>>;
  /** Variables of every step that hold secrets, by the secret's name. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly needs: Needs;
  readonly isolation: Isolation;
  readonly trust: Trust;
  readonly artifacts: readonly Artifact[];
  readonly caches: readonly Cache[];
  readonly services: readonly Service[];
  readonly retention: Retention;
  /** Whether submodules and LFS objects are part of the tree a step sees. */
  readonly source: { readonly submodules: boolean; readonly lfs: boolean };
  /** Whether a `.git` comes with the tree, and how many commits of history with it. */
  readonly checkout: { readonly git: boolean; readonly depth: number | 'full' };
  /** What a shell on its machines gets. */
  readonly shell: Shell;
  /** The machine of an attempt that fails is kept for so long, ms. */
  readonly holdOnFailureMs?: number | undefined;
  /** Where builds of a branch's tip queue. */
  readonly priority: Band;
  /** Patterns; empty: every branch that the repository's own list names. */
  readonly branches: readonly string[];
  /** Patterns over changed paths; empty: whatever was changed. */
  readonly paths: readonly string[];
  /** Addresses of issues; failures are shown, and muted. */
  readonly knownIssues: readonly string[];
  /** The cell of the matrix it was made from. */
  readonly variant: Readonly<Record<string, string>>;
}

/** What makes two builds the same one: builder, revisions and the kind of trigger (and the change, if it is one). */
export interface BuildKey {
  readonly builder: BuilderName;
  readonly revisions: readonly RepoRevision[];
  readonly trigger: Trigger;
}

/** The same key gives the same id for ever, so finding work twice cannot make a build twice. */
export function buildId({ builder, revisions, trigger }: BuildKey): BuildId {
  const change = trigger.kind === 'change' ? trigger.ref : '';
  const parts = [builder, trigger.kind, change, ...revisions.flatMap(({ repo, revision }) => [repo, revision])];
  return `B${sha256Hex(JSON.stringify(parts)).slice(0, 16)}` as BuildId;
}

/** How much history comes with the tree; undefined: no `.git` at all. */
export function historyOf({ checkout }: Pick<Builder, 'checkout'>): number | 'full' | undefined {
  return checkout.git ? checkout.depth : undefined;
}

/** Hash of all that decides how a builder builds, and not when or what; stored with each attempt. */
export function configHash(builder: Builder): string {
  const { hostType, steps, env, secrets, needs, isolation, trust, artifacts, caches, services, source, checkout } = builder;
  const decisive = { hostType, steps, env, secrets, needs, isolation, trust, artifacts, caches, source };
  const further = { services: services.length === 0 ? undefined : services, checkout: checkout.git ? checkout : undefined };
  return sha256Hex(canonicalJson({ ...decisive, ...further })).slice(0, 16);
}
