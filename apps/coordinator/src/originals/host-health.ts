/** The health of one host type as a monitor reads it (coordinator.md HC-1, HC-3), from what is expected and what is there. Pure. */
import type { HostStatus } from './farmer.ts';

export interface HostHealth {
  readonly text: string;
  /** Something is wrong enough to wake somebody. */
  readonly error: boolean;
}

/** Machines need this long to come up, ms. */
const startMs = 120_000;
/** Of the capacity; below it a loss is a warning. */
const tolerated = 0.15;

/** @param upMs how long this coordinator runs, ms */
export function hostHealth({ HostType, Expect, Connected }: HostStatus, upMs: number): HostHealth {
  const missing = Math.max(0, Expect - Connected);
  if (missing === 0) return { text: 'ok\n', error: false };
  const share = missing / Expect;
  const level = upMs < startMs ? 'Info' : share >= tolerated ? 'Error' : 'Warn';
  const machines = missing === 1 ? '1 machine' : `${missing} machines`;
  const finding = `${level}: ${machines} missing, ${Math.round(share * 100)}% of capacity`;
  return { text: `# "${HostType}" status: machines of ${HostType}\n# Notes: /farm\n${finding}\n`, error: level === 'Error' };
}
