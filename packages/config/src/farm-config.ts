/** The configuration as it was loaded: plain, whole and frozen. Durations are ms, sizes bytes, a matrix is its builders. */
import type { ContainerSettings } from '@croft/domain/container';
import type { Builder } from '@croft/domain/job';
import type { RepoName } from '@croft/domain/names';
import type { SessionLimits } from '@croft/domain/session';
import type { PolicyRule } from '@croft/domain/policy';
import type { Secret } from '@croft/runtime/config';

export const environmentNames = ['production', 'staging', 'local'] as const;
export type EnvironmentName = (typeof environmentNames)[number];

export interface FarmConfig extends Environment {
  readonly repos: readonly Repository[];
  readonly hostTypes: readonly HostType[];
  readonly builders: readonly Builder[];
  readonly pools: readonly Pool[];
  readonly policies: readonly PolicyRule[];
  readonly dependents: readonly Dependents[];
  readonly secrets: readonly SecretSource[];
  readonly compat: Compat;
}

/** For Go's own programs. */
export interface Compat {
  readonly goBuilderKeys: boolean;
  readonly masterKeyFile: string | undefined;
  readonly revokedBuilders: readonly string[];
}

/** Where the farm lives and how much it takes. */
export interface Environment {
  readonly environment: EnvironmentName;
  readonly dataDir: string;
  readonly databaseUrl: Secret | undefined;
  /** Name of the secret that holds it instead. */
  readonly databaseSecret: string | undefined;
  readonly durability: 'power' | 'kill';
  readonly host: string;
  readonly port: number;
  readonly publicHosts: readonly string[];
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly behindProxy: boolean;
  readonly anonymous: 'none' | 'viewer';
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly logFile: string | undefined;
  readonly lowWaterBytes: number;
  /** All caches together. */
  readonly cacheBytes: number;
  readonly outputLimitBytes: number;
  /** Undefined: nobody comes in by SSH. */
  readonly ssh: Ssh | undefined;
  /** Logins at GitHub, whose keys there let people in by SSH, by person. */
  readonly githubLogins: Readonly<Record<string, string>>;
  readonly sessions: SessionSettings;
}

/** Where people come in by SSH. */
export interface Ssh {
  readonly host: string;
  readonly port: number;
  /** Another one, where that is taken. */
  readonly orAnyPort: boolean;
  /** As people reach it, and certificates call it. */
  readonly publicHost: string | undefined;
}

/** Of machines that people borrow. */
export interface SessionSettings extends SessionLimits {
  /** How many one person has at once. */
  readonly perPerson: number;
  /** How many machines of failed attempts are kept at once because their builders say so. */
  readonly heldAtOnce: number;
  /** So long after its end one is forgotten. */
  readonly keepMs: number;
}

export interface Repository {
  readonly name: RepoName;
  readonly url: string;
  /** Patterns; none: the branch its HEAD is on. */
  readonly branches: readonly string[];
  /** How many of the newest commits of each branch are built. */
  readonly depth: number;
  /** Undefined: only when somebody says that there is something new. */
  readonly pollMs: number | undefined;
  /** Patterns over changed paths. */
  readonly paths: readonly string[];
  /** Name of a secret. */
  readonly hookSecret: string | undefined;
}

export interface HostType {
  readonly name: string;
  readonly labels: readonly string[];
  readonly tools: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly owners: readonly string[];
  readonly notes: string;
  /** As whom machines with one of Go's buildlets are entered by SSH. */
  readonly sshUser?: string | undefined;
}

export type Pool = LocalPool | DockerPool | ReversePool;

interface AnyPool {
  readonly name: string;
  readonly hostType: string;
  /** Its own, the host type's and the host type's name. */
  readonly labels: readonly string[];
}

/** Machines that are processes on this computer. */
export interface LocalPool extends AnyPool {
  readonly kind: 'local';
  readonly size: number;
  /** So many machines more, for sessions alone. */
  readonly forSessions: number;
  readonly orphanedMs: number;
}

/** Machines that are containers of a Docker daemon on this computer. */
export interface DockerPool extends AnyPool, ContainerSettings {
  readonly kind: 'docker';
  readonly size: number;
  readonly forSessions: number;
  /** The daemon's socket. */
  readonly socketPath: string;
}

/** Machines that dial in. */
export interface ReversePool extends AnyPool {
  readonly kind: 'reverse';
  /** How many should be connected; fewer are shown as missing. */
  readonly expect: number;
}

/** How many machines there shall be for builds. */
export function declaredMachines(pools: readonly Pool[]): number {
  return pools.reduce((sum, pool) => sum + (pool.kind === 'reverse' ? pool.expect : pool.size), 0);
}

export interface Dependents {
  readonly toolchain: RepoName;
  readonly repos: readonly RepoName[];
  /** Patterns; none: the branch its HEAD is on. */
  readonly branches: readonly string[];
}

export interface SecretSource {
  readonly name: string;
  readonly from: { readonly env: string } | { readonly file: string };
}
