/** The configuration that holds at the moment, and what became of the last attempt to change it. */
import type { FarmConfig } from '@croft/config/farm-config';
import type { Mistake } from '@croft/config/mistakes';
import type { Clock } from '@croft/runtime/clock';

export interface ConfigStatus {
  /** Undefined for one that stands in a program; then it never changes. */
  readonly file: string | undefined;
  /** Epoch ms at which it began to hold. */
  readonly loadedAt: number;
  /** Settings that were changed and hold from the next start on. */
  readonly restart: readonly string[];
  /** Why the last edit does not hold. */
  readonly problem: { readonly at: number; readonly mistakes: readonly Mistake[] } | undefined;
}

export interface LiveConfig {
  current(): FarmConfig;
  status(): ConfigStatus;
  hold(config: FarmConfig, restart: readonly string[]): void;
  /** What held goes on holding. */
  refuse(mistakes: readonly Mistake[]): void;
}

export function createLiveConfig(first: FarmConfig, { file, clock }: { file?: string | undefined; clock: Clock }): LiveConfig {
  let config = first;
  let status: ConfigStatus = { file, loadedAt: clock.now(), restart: [], problem: undefined };
  return {
    current: () => config,
    status: () => status,
    hold(next, restart) {
      config = next;
      status = { file, loadedAt: clock.now(), restart, problem: undefined };
    },
    refuse(mistakes) {
      status = { ...status, problem: { at: clock.now(), mistakes } };
    },
  };
}
