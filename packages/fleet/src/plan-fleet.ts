/** Which machines of a pool to start and which to end: pure, from what is declared and what exists. */
import type { MachineId } from '@croft/domain/names';

export interface Existing {
  readonly id: MachineId;
  readonly state: 'up' | 'starting' | 'silent' | 'down';
}

export type FleetAction =
  /** Start its buildlet, over what it left behind if it was there before. */
  | { readonly kind: 'start'; readonly id: MachineId }
  /** End it and remove what it left behind. */
  | { readonly kind: 'remove'; readonly id: MachineId };

export function planFleet(declared: readonly MachineId[], existing: readonly Existing[]): FleetAction[] {
  const found = new Map(existing.map((machine) => [machine.id, machine]));
  const starts = declared.filter((id) => (found.get(id)?.state ?? 'down') === 'down');
  const removals = existing.filter((machine) => !declared.includes(machine.id));
  return [...removals.map(({ id }): FleetAction => ({ kind: 'remove', id })), ...starts.map((id): FleetAction => ({ kind: 'start', id }))];
}
