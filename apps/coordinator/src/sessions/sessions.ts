/** What can be done with sessions: machines that people borrow. Everything is stored before it counts and survives this process. */
import type { Buildlet } from '@croft/buildlet/client';
import type { BuildId } from '@croft/domain/names';
import type { SessionView } from '@croft/protocol/sessions';
import type { Waits } from '@croft/runtime/clock';
import type { Identity } from '@croft/web/identity';

/** Who asks. All who may read see who holds what; owners and those it is shared with use one; operators may end every one. */
export type Person = Pick<Identity, 'name' | 'role' | 'repos'>;

export interface Sessions {
  /** Queues it, before all builds. @throws CroftError `not-found` for a builder, `forbidden`, `exhausted` beyond the person's limit */
  create(who: Person, wish: { readonly builder: string; readonly note?: string }): Promise<SessionView>;
  /** Those that have not ended, oldest first, or those that have, latest first; `mine`: only those that the person may use. */
  list(who: Person, of?: { readonly mine?: boolean; readonly ended?: boolean }): Promise<SessionView[]>;
  /** @param name id or alias. Does not count as use. @throws CroftError `not-found` */
  get(who: Person, name: string): Promise<SessionView>;
  /** Each change until it is active or has ended, the present state first; at the latest every 5 s. */
  follow(who: Person, name: string, waits: Waits): AsyncIterable<SessionView>;
  /** From now on. @throws CroftError `exhausted` beyond the limit, `conflict` when it ends or has ended */
  extend(who: Person, name: string, forMs: number): Promise<SessionView>;
  share(who: Person, name: string, others: readonly string[]): Promise<SessionView>;
  note(who: Person, name: string, note: string): Promise<SessionView>;
  /** Resolves when it is stored; the machine is cleaned afterwards. Ending one that ends or has ended is no change. */
  end(who: Person, name: string, why: string): Promise<SessionView>;
  /**
   * Access to its machine; counts as use, once the caller was found to be allowed, and goes on counting until it is disposed.
   * @throws CroftError `not-found`, `forbidden`, `conflict` when it waits, prepares or has ended (the message says which and why)
   */
  enter(who: Person, name: string): Promise<Entered>;
  readonly builds: BuildSessions;
}

/** Sessions about builds. Their names are also `build-` and the build's id. */
export interface BuildSessions {
  /**
   * Keeps the machine of the last attempt, all as it lies: at its end while it runs (the session waits until then), else now.
   * @throws CroftError `conflict` when its machine is gone, or had something else to do since
   */
  hold(who: Person, build: BuildId, wish: { readonly forMs?: number | undefined; readonly note?: string }): Promise<SessionView>;
  /** Ends the session that holds it. @throws CroftError `not-found` where nothing does */
  unhold(who: Person, build: BuildId, why: string): Promise<SessionView>;
  /** A session whose machine gets the same source and environment, and on which the steps before the failed one are run. */
  repro(who: Person, build: BuildId, wish: { readonly note?: string }): Promise<SessionView>;
  /** The machine of an attempt that runs, beside it, without taking its lease; or of the session that holds it. */
  enter(who: Person, build: BuildId): Promise<EnteredBuild>;
}

/** `runs`: how the ids of the caller's runs begin, up to and with the last dot: the attempt's or the session's, with which they end. */
export interface EnteredBuild extends Omit<Entered, 'session'> {
  readonly session?: SessionView;
  readonly runs: string;
}

export interface Entered extends Disposable {
  readonly session: SessionView;
  /** Its machine. Calls that change something take `epoch`. */
  readonly buildlet: Buildlet;
  readonly epoch: number;
  /** What a command or a shell of this session gets: the same for `gomote run`, SSH and the browser. */
  readonly ground: SessionGround;
  /** The same with the variables of another builder, less its secrets; undefined when there is none of that name. */
  groundAs?(builder: string): SessionGround | undefined;
  /** Aborted with the reason when the session ends or its machine is lost. */
  readonly ended: AbortSignal;
}

/** Where the commands of a session run, and with which variables, over those that the buildlet passes on by itself. */
export interface SessionGround {
  /** Absolute path of the work directory. */
  readonly workDir: string;
  /** Below the work directory; where a shell begins if it is there, else in the work directory. */
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute directories that come after the buildlet's own PATH. */
  readonly path: readonly string[];
  /** `go`: one of Go's buildlets, which has no runs and no raw connections but `/connect-ssh` */
  readonly speaks: 'croft' | 'go';
}
