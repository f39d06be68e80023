/**
 * The port of every machine pool. A pool owns machines of one provider: it makes them, finds them again, and ends them. It is
 * level-triggered: `reconcile` compares what is declared with what the provider says exists, and acts.
 */
import type { MachineId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import type { Waits } from '@croft/runtime/clock';
import type { ObservedStatus } from './observe.ts';

/** One machine as the provider and its buildlet show it. */
export interface Observed extends ObservedStatus {
  readonly id: MachineId;
  readonly hostType: string;
  readonly labels: readonly string[];
  /** `up` answers now; `starting` was just made; `silent` exists but does not answer; `down` is certainly not running. */
  readonly state: 'up' | 'starting' | 'silent' | 'down';
  /** Not declared any more: it may end what it does, takes nothing new, and then goes. */
  readonly draining?: boolean | undefined;
  /** It is for one build: once somebody has worked on it, another takes its place. */
  readonly oneBuild?: boolean | undefined;
  /** It is for sessions alone. */
  readonly forSessions?: boolean | undefined;
  /** Why it takes no new work although it answers, one sentence; what runs on it goes on. */
  readonly held?: string | undefined;
  /** Beginning of its id, as its daemon lists it; of one that is a container. */
  readonly container?: string | undefined;
  /** For one that dials in. */
  readonly line?: Line | undefined;
  /** What an operator should know of it. */
  readonly note?: string | undefined;
  /** What was seen, one sentence; for anything but `up`. */
  readonly evidence?: string | undefined;
}

/** How a machine that dials in is connected. */
export interface Line {
  /** What it calls itself. */
  readonly host: string;
  readonly from: string;
  /** Epoch ms. */
  readonly since: number;
}

export interface Reconciling extends Waits {
  /** Whether somebody works on a machine that is to go; nobody when absent. Asked once the machine was told as draining. */
  isLeased?(id: MachineId): Promise<boolean>;
  /** Whether somebody was given this machine since it has this boot. */
  isUsed?(id: MachineId, boot: string | undefined): boolean;
}

/** What a pool that cannot make machines says of those that should be there. */
export interface Shortfall {
  readonly hostType: string;
  readonly expect: number;
  readonly connected: number;
  /** Machines that were here and are not, latest first; at most 100. */
  readonly missing: readonly { readonly host: string; readonly seenAt: number; readonly why: string }[];
}

export interface Pool extends AsyncDisposable {
  readonly name: string;
  /** Nothing is declared from the next `reconcile` on: each machine ends what it does and goes. */
  drain(): void;
  /**
   * Looks at every machine, starts what is missing, drains and ends what is not declared. Disposing stops this and leaves the
   * machines.
   */
  reconcile(waits: Reconciling): Promise<readonly Observed[]>;
  /** Told when a machine has changed. Who has it need not be asked often, and gives the same object as long as nothing has. */
  watch?(onChange: () => void): void;
  shortfall?(): Shortfall;
  /** What was seen at its provider that belongs to nobody and is left to people, a sentence each. */
  strays?(): readonly string[];
  /** @throws CroftError `not-found` for a machine that is not this pool's. */
  connect(id: MachineId): Buildlet;
  /** Destroys a machine that is not trusted any more; the next `reconcile` makes another in its place. */
  replace(id: MachineId, why: string, waits: Waits): Promise<void>;
  /** Ends every machine with all that runs on it. */
  endAll(waits: Waits): Promise<void>;
}
