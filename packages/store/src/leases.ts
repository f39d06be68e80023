/**
 * Leases, and the fence: whoever writes as a holder calls `assertHeld` in the same transaction, so a holder that was taken over
 * or whose lease ended cannot change anything, however late it wakes up. At most one lease of a machine is held.
 */
import { advanceLease, staleEpoch, type Lease, type LeaseEvent, type LeaseHolder, type LeaseState } from '@croft/domain/lease';
import type { LeaseId, MachineId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { Engine, Sql, Work } from './database.ts';
import { nextEpoch } from './machines.ts';

export interface NewLease {
  readonly id: LeaseId;
  readonly machine: MachineId;
  readonly holder: LeaseHolder;
  readonly at: number;
}

export interface Hold {
  readonly lease: LeaseId;
  readonly epoch: number;
}

/** Leases the machine under its next epoch. @returns undefined when somebody holds it */
export async function insertLease(sql: Sql, { id, machine, holder, at }: NewLease): Promise<Lease | undefined> {
  if (await leaseOfMachine(sql, machine)) return undefined;
  const epoch = await nextEpoch(sql, machine);
  const text = `INSERT INTO leases (id, machine, holder_kind, holder_id, epoch, state, acquired_at) VALUES (?, ?, ?, ?, ?, 'held', ?)
    ON CONFLICT (machine) WHERE state = 'held' DO NOTHING`;
  const stored = await sql.run(text, [id, machine, holder.kind, holder.id, epoch, at]);
  return stored === 1 ? { id, machine, holder, state: { kind: 'held', epoch, acquiredAt: at } } : undefined;
}

export async function getLease(sql: Sql, id: LeaseId): Promise<Lease | undefined> {
  const row = await sql.get<LeaseRow>(`SELECT ${columns} FROM leases WHERE id = ?`, [id]);
  return row && toLease(row);
}

/** Oldest first. */
export async function heldLeases(sql: Sql): Promise<Lease[]> {
  const rows = await sql.all<LeaseRow>(`SELECT ${columns} FROM leases WHERE state = 'held' ORDER BY acquired_at, id`);
  return rows.map(toLease);
}

/** The lease that somebody holds on it now. */
export async function leaseOfMachine(sql: Sql, machine: MachineId): Promise<Lease | undefined> {
  const row = await sql.get<LeaseRow>(`SELECT ${columns} FROM leases WHERE machine = ? AND state = 'held'`, [machine]);
  return row && toLease(row);
}

/** Those that somebody holds. */
export async function leasedMachines(sql: Sql): Promise<Set<MachineId>> {
  const rows = await sql.all<Pick<LeaseRow, 'machine'>>(`SELECT machine FROM leases WHERE state = 'held'`);
  return new Set(rows.map(({ machine }) => machine));
}

/** The lease that this holder holds now. */
export async function leaseOfHolder(sql: Sql, { kind, id }: LeaseHolder): Promise<Lease | undefined> {
  const row = await sql.get<LeaseRow>(`SELECT ${columns} FROM leases WHERE holder_kind = ? AND holder_id = ? AND state = 'held'`, [
    kind,
    id,
  ]);
  return row && toLease(row);
}

/** Takes a held lease over under the machine's next epoch, which it returns; the old holder is fenced off from now on. */
export async function takeOverLease(sql: Sql, id: LeaseId): Promise<number> {
  const { machine } = await lockLease(sql, id);
  const epoch = await nextEpoch(sql, machine);
  await move(sql, id, { kind: 'taken-over', epoch });
  return epoch;
}

/**
 * Hands a held lease on under the machine's next epoch, which it returns: in no moment is the machine anybody else's.
 * @throws CroftError `stale` when `epoch` is not the lease's
 */
export async function passLease(sql: Sql, hold: Hold, holder: LeaseHolder): Promise<number> {
  await assertHeld(sql, hold);
  const epoch = await takeOverLease(sql, hold.lease);
  await sql.run('UPDATE leases SET holder_kind = ?, holder_id = ? WHERE id = ?', [holder.kind, holder.id, hold.lease]);
  return epoch;
}

/** Of all leases that the machine ever had, the last. */
export async function lastLease(sql: Sql, machine: MachineId): Promise<Lease | undefined> {
  const row = await sql.get<LeaseRow>(`SELECT ${columns} FROM leases WHERE machine = ? ORDER BY acquired_at DESC, epoch DESC LIMIT 1`, [
    machine,
  ]);
  return row && toLease(row);
}

/**
 * Ends a lease: released by its holder with `epoch`, or lost without. Ending one that has ended is no change.
 * @throws CroftError `stale` when `epoch` is not the lease's
 */
export async function endLease(
  sql: Sql,
  id: LeaseId,
  { epoch, at }: { readonly epoch?: number | undefined; readonly at: number },
): Promise<void> {
  const { state } = await lockLease(sql, id);
  if (state.kind === 'ended' && (epoch === undefined || epoch === state.epoch)) return;
  await move(sql, id, epoch === undefined ? { kind: 'lost', at } : { kind: 'released', epoch, at });
}

/** The fence. @throws CroftError `stale` unless the lease is held under exactly this epoch; locks it until the transaction ends */
export async function assertHeld(sql: Sql, { lease, epoch }: Hold): Promise<void> {
  const { state } = await lockLease(sql, lease);
  if (state.epoch !== epoch) throw staleEpoch(epoch, state.epoch);
  if (state.kind === 'held') return;
  throw new CroftError('stale', `the lease ${lease} was ${state.how} already`, {
    hint: 'Its holder must stop: the machine may serve another one.',
  });
}

/** One transaction behind the fence. */
export async function writeAsHolder<T>(database: Pick<Engine, 'write'>, hold: Hold, work: Work<T>): Promise<T> {
  return await database.write(async (sql) => {
    await assertHeld(sql, hold);
    return await work(sql);
  });
}

async function lockLease(sql: Sql, id: LeaseId): Promise<Lease> {
  const row = await sql.get<LeaseRow>(`SELECT ${columns} FROM leases WHERE id = ?${sql.forUpdate}`, [id]);
  if (!row) throw new CroftError('not-found', `there is no lease ${id}`);
  return toLease(row);
}

async function move(sql: Sql, id: LeaseId, event: LeaseEvent): Promise<void> {
  const state: LeaseState = advanceLease((await lockLease(sql, id)).state, event);
  const [endedAt, how] = state.kind === 'ended' ? [state.endedAt, state.how] : [null, null];
  await sql.run('UPDATE leases SET epoch = ?, state = ?, ended_at = ?, how = ? WHERE id = ?', [state.epoch, state.kind, endedAt, how, id]);
}

const columns = 'id, machine, holder_kind, holder_id, epoch, state, acquired_at, ended_at, how';

interface LeaseRow {
  readonly id: LeaseId;
  readonly machine: MachineId;
  readonly holder_kind: LeaseHolder['kind'];
  readonly holder_id: string;
  readonly epoch: number;
  readonly state: LeaseState['kind'];
  readonly acquired_at: number;
  readonly ended_at: number | null;
  readonly how: 'released' | 'lost' | null;
}

function toLease(row: LeaseRow): Lease {
  const { epoch, acquired_at: acquiredAt } = row;
  const state: LeaseState =
    row.state === 'held'
      ? { kind: 'held', epoch, acquiredAt }
      : { kind: 'ended', epoch, acquiredAt, endedAt: row.ended_at ?? 0, how: row.how ?? 'lost' };
  return { id: row.id, machine: row.machine, holder: { kind: row.holder_kind, id: row.holder_id }, state };
}
