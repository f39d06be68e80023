/** What may be written in `croft.config.ts`, or as JSON or YAML. `defineConfig` gives an editor types, documentation and completion. */
import type { PoolInput } from './define-pools.ts';

export type { PoolInput } from './define-pools.ts';

/** The identity, for the editor's sake. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}

/** Milliseconds, or a text with a unit: `500ms`, `15s`, `10m`, `2h`, `90d`. */
export type Duration = number | string;
/** Bytes, or a text with a unit: `64kB`, `20GB`, `4GiB`. */
export type Size = number | string;
/**
 * One pattern or a list: `*` is any text without a slash, `**` any number of segments, `?` one character; `!` in front excludes.
 * An empty list is everything.
 */
export type Patterns = string | readonly string[];

export interface ConfigInput extends EnvironmentInput {
  /** Holds everything: database, logs, mirrors, machines. One coordinator at a time. Relative to the configuration file. */
  dataDir: string;
  /** What is different where the farm is started with `--env NAME`; `local` is the default. */
  environments?: { production?: OverlayInput; staging?: OverlayInput; local?: OverlayInput } | undefined;
  repos?: readonly RepositoryInput[] | undefined;
  /** Kinds of machines. That of this machine, `host-PLATFORM-ARCH`, is always there. */
  hostTypes?: readonly HostTypeInput[] | undefined;
  builders?: readonly BuilderInput[] | undefined;
  pools?: readonly PoolInput[] | undefined;
  /** What is built at all. The first rule that matches decides; what none matches is built. */
  policies?: readonly PolicyInput[] | undefined;
  /** Repositories that are built with another one: a commit of either makes a build of the pair. */
  dependents?: readonly DependentsInput[] | undefined;
  /** Where secrets come from; what they are never stands here. */
  secrets?: readonly SecretInput[] | undefined;
  /** For Go's own programs. */
  compat?: {
    /** Takes their HMAC-MD5 builder keys: weak, never expiring and shown in addresses. */
    goBuilderKeys?: boolean | undefined;
    /** Holds their master key. Without it their public development key counts, on loopback only. */
    masterKeyFile?: string | undefined;
    /** Builders whose own key does not count any more. */
    revokedBuilders?: readonly string[] | undefined;
  };
}

/** Where the farm lives and how much it takes; the same type for production, staging and a laptop. */
export interface EnvironmentInput {
  /** `sqlite:PATH`, `postgres://…` or a secret that holds one; the default is `croft.db` in the data directory. */
  databaseUrl?: string | { secret: string } | undefined;
  /** `power`: an accepted change survives a power cut; `kill`: it survives kill -9 of anything. */
  durability?: 'power' | 'kill' | undefined;
  host?: string | undefined;
  port?: number | undefined;
  /** Names under which browsers reach it, for the Host check; loopback names are always allowed. */
  publicHosts?: readonly string[] | undefined;
  tls?: { certFile: string; keyFile: string } | undefined;
  /** Says that something in front ends TLS. */
  behindProxy?: boolean | undefined;
  /** May people without a token read everything, on an open address too? */
  anonymous?: 'none' | 'viewer' | undefined;
  logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined;
  logFile?: string | undefined;
  /** Below this much free disk no build starts. */
  lowWaterBytes?: Size | undefined;
  /** All caches together; beyond it those go that were not used for longest. */
  cacheBytes?: Size | undefined;
  /** A command that writes more is killed. */
  outputLimitBytes?: Size | undefined;
  /** The SSH door; without this there is none. */
  ssh?: SshInput | undefined;
  /** Machines that people borrow. */
  sessions?: SessionsInput | undefined;
}

export interface SshInput {
  /** The address it is bound to; `127.0.0.1` where nothing is said. */
  host?: string | undefined;
  /** 2222 where nothing is said; 0 takes a free one. */
  port?: number | undefined;
  /** Another port, where that one is taken. */
  orAnyPort?: boolean | undefined;
  /** The name under which people reach it. */
  publicHost?: string | undefined;
  /** Logins at GitHub by person: their keys there let them in. A person is called as their token. */
  github?: Readonly<Record<string, string>> | undefined;
}

export interface SessionsInput {
  /** So long after its last use a session ends. */
  idleMs?: Duration | undefined;
  /** However it is used and extended. */
  longestMs?: Duration | undefined;
  /** How many one person has at once. */
  perPerson?: number | undefined;
  /** How many machines of failed attempts are kept at once because their builders say so. */
  heldAtOnce?: number | undefined;
  /** So long after its end a session is forgotten. */
  keepMs?: Duration | undefined;
}

export interface OverlayInput extends EnvironmentInput {
  dataDir?: string | undefined;
  /** Only these builders run here. */
  onlyBuilders?: Patterns | undefined;
}

export interface RepositoryInput {
  name: string;
  /** A path or an address that git can fetch from. */
  url: string;
  /** Which branches are built; none: the one its HEAD is on. */
  branches?: Patterns | undefined;
  /** How many of the newest commits of each branch are built. */
  depth?: number | undefined;
  /** How often it is looked at; `never`: only when somebody says that there is something new. */
  pollMs?: Duration | undefined;
  /** A commit that changes none of these is not built. */
  paths?: Patterns | undefined;
  /** The secret with which its forge signs what it sends to `/hooks`. */
  hookSecret?: string | undefined;
}

export interface HostTypeInput {
  /** Also a label of its machines. */
  name: string;
  labels?: readonly string[] | undefined;
  /** Programs without which such a machine gets no work: it looks for them in the PATH of its commands. */
  tools?: readonly string[] | undefined;
  /** For everything that runs there; a builder's own come after it. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Who looks after these machines. */
  owners?: readonly string[] | undefined;
  notes?: string | undefined;
  /** As whom machines with one of Go's buildlets are entered by SSH: `root`, `gopher`. Croft's own need none. */
  sshUser?: string | undefined;
}

export interface StepInput {
  name: string;
  role?: 'setup' | 'build' | 'list-tests' | 'run-tests' | 'step' | undefined;
  /** Program and arguments; no shell in between. */
  argv: readonly string[];
  env?: Readonly<Record<string, string>> | undefined;
  /** Variables that hold secrets: the secret's name by the variable's, or names that are the same. */
  secrets?: Readonly<Record<string, string>> | readonly string[] | undefined;
  /** Relative to the root of the tree, and inside of it. */
  dir?: string | undefined;
  /** After this it is killed and timed out. */
  limitMs?: Duration | undefined;
}

/** What both a builder and one value of its matrix may say. */
interface BuilderSettings {
  /** Kind of machine; without one, any that has the labels. */
  hostType?: string | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  /** Variables of every step that hold secrets. */
  secrets?: Readonly<Record<string, string>> | readonly string[] | undefined;
  needs?: { labels?: readonly string[] | undefined; cpus?: number | undefined; memoryBytes?: Size | undefined } | undefined;
  isolation?: 'none' | 'container' | 'vm' | undefined;
  trust?: 'trusted' | 'untrusted' | undefined;
  /** Where builds of a branch's tip queue: `interactive`, `release`, `presubmit`, `post-submit`, `back-fill` or `benchmark`. */
  priority?: 'interactive' | 'release' | 'presubmit' | 'post-submit' | 'back-fill' | 'benchmark' | undefined;
  /** Only these of the branches that the repository names. */
  branches?: Patterns | undefined;
  /** Only commits that change some of these. */
  paths?: Patterns | undefined;
  /** Addresses of issues: its failures are shown, and muted. */
  knownIssues?: readonly string[] | undefined;
  /** `detect`: the command is found in each commit's own tree. */
  steps?: 'detect' | readonly StepInput[] | undefined;
}

export interface BuilderInput extends BuilderSettings {
  /** With a matrix, `{matrix.AXIS}` stands for a value here and in every other text; without any, the values follow the name. */
  name: string;
  /** One repository; for more there is `repos`. */
  repo?: string | undefined;
  repos?: readonly string[] | undefined;
  /** One builder for each combination of values. */
  matrix?: MatrixInput | undefined;
  artifacts?: readonly ArtifactInput[] | undefined;
  caches?: readonly CacheInput[] | undefined;
  /** Programs that run beside the steps, such as a database. */
  services?: readonly ServiceInput[] | undefined;
  /** How long and how much of its logs is kept, and how much of its artifacts. */
  retention?: { logAgeMs?: Duration | undefined; logBytes?: Size | undefined; artifactBytes?: Size | undefined } | undefined;
  /** A real `.git` beside the tree, with so many commits of history; without this, none. A depth alone switches it on. */
  checkout?: { git?: boolean | undefined; depth?: number | 'full' | undefined } | undefined;
  /** What a shell on its machines gets beside the builder's own variables. */
  shell?: ShellInput | undefined;
  /** The machine of an attempt that fails is kept for so long, as it lies, for whoever may see its build. */
  holdOnFailureMs?: Duration | undefined;
  /** Whether submodules and LFS objects are part of the tree that a step sees. */
  source?: { submodules?: boolean | undefined; lfs?: boolean | undefined } | undefined;
}

/** All paths are relative to the work directory. */
export interface ShellInput {
  /** `$WORKDIR` stands for the work directory. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Directories that come after the machine's own PATH. */
  path?: readonly string[] | undefined;
  /** Where it begins, if that is there; the default is the tree of the builder's first repository. */
  dir?: string | undefined;
  /** Whether it gets the variables that hold the builder's secrets. */
  secrets?: boolean | undefined;
}

export interface MatrixInput {
  /** Values of each axis, as a list or each with what is different for it. Their order makes the names. */
  axes: Readonly<Record<string, readonly (string | number)[] | Readonly<Record<string, BuilderSettings>>>>;
  /** Combinations that are left out: each names some axes. */
  except?: readonly Readonly<Record<string, string | number>>[] | undefined;
}

export interface ArtifactInput {
  name: string;
  /** Patterns over paths relative to the root of the tree; a directory brings its contents. */
  paths: Patterns;
  /** Of which builds: those that passed (the default), those that failed or timed out, or both. */
  when?: 'passed' | 'failed' | 'always' | undefined;
  /** A build that does not leave it behind has failed. Otherwise that is only said. */
  required?: boolean | undefined;
  /** A larger one is not kept. */
  maxBytes?: Size | undefined;
  /** After this it goes, unless `retention.artifactBytes` makes it go earlier. */
  keepMs?: Duration | undefined;
}

export interface CacheInput {
  name: string;
  /** Directories and files relative to the root of the tree. */
  paths: readonly string[];
  /** Another text is another entry. `{hash:package-lock.json}` stands for the contents of those files of the commit. */
  key?: string | undefined;
  /** Further files of the commit whose contents are part of the key. */
  keyFiles?: Patterns | undefined;
  /** Where there is no entry for the key, the newest will do whose key begins alike, up to the first hash. */
  fallback?: boolean | undefined;
  /** A larger one is not saved. */
  maxBytes?: Size | undefined;
}

/** Exactly one of `argv` and `image`. */
export interface ServiceInput {
  /** Steps find it by the variables `SERVICE_NAME_HOST` and `SERVICE_NAME_PORT`. */
  name: string;
  /** Program and arguments, begun in the tree; it must listen at `HOST` and `PORT` of its environment. */
  argv?: readonly string[] | undefined;
  /** A container image: refused, since no kind of pool runs them beside the steps yet. */
  image?: string | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  secrets?: Readonly<Record<string, string>> | readonly string[] | undefined;
  /** The steps begin when its port takes connections or, if there is one, when this command exits with 0; later than this, they fail. */
  ready?: { argv?: readonly string[] | undefined; withinMs?: Duration | undefined } | undefined;
}

/** Matches when each list that is there does. */
export interface PolicyInput {
  allow: boolean;
  builders?: Patterns | undefined;
  repos?: Patterns | undefined;
  branches?: Patterns | undefined;
  /** Branch of the toolchain that the repository is built with. */
  toolchainBranches?: Patterns | undefined;
  /** An allowing rule needs one changed path, a denying one needs that every changed path matches. */
  paths?: Patterns | undefined;
  /** `branch`: a commit is on a branch; `change`: somebody proposes it; `asked`: somebody wants it. */
  triggers?: readonly ('branch' | 'change' | 'asked')[] | undefined;
  /** The rule is about these tests of a build, and not about the build. */
  tests?: Patterns | undefined;
  /** Shown where the rule decides. */
  why?: string | undefined;
}

export interface DependentsInput {
  /** The repository whose tree is the toolchain. */
  toolchain: string;
  /** Those built with it; its tree lies beside theirs, in `$WORKDIR/NAME`. */
  repos: readonly string[];
  /** Branches of the toolchain with whose tips they are built; none: the one its HEAD is on. */
  branches?: Patterns | undefined;
}

/** Exactly one of `env` and `file`. */
export interface SecretInput {
  name: string;
  /** A variable of the coordinator's own environment. */
  env?: string | undefined;
  /** A file; one line end at its end does not count. */
  file?: string | undefined;
}
