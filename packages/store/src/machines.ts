/** Machines, and the highest lease epoch given out for each. Addresses hold passwords: only `connectMachine` returns one. */
import type { MachineId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

/** As many ids as are asked for in one statement. */
const chunk = 500;

/** `up`: answers; `away`: does not answer at present; `gone`: ended or given up, never to come back under this id. */
export type MachineState = 'up' | 'away' | 'gone';

export interface Machine {
  readonly id: MachineId;
  readonly pool: string;
  readonly hostType: string;
  readonly labels: readonly string[];
  /** The highest given, 0 while it was never leased. */
  readonly epoch: number;
  /** Changes with every start of its buildlet. */
  readonly boot: string | undefined;
  readonly state: MachineState;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly goneAt: number | undefined;
  /** What was seen when it went away. */
  readonly evidence: string | undefined;
  /** Who took it out of work, opaque to the store. */
  readonly drained: unknown;
}

export interface NewMachine {
  readonly id: MachineId;
  readonly pool: string;
  readonly hostType: string;
  readonly labels: readonly string[];
  /** Opaque to the store; kept as JSON. */
  readonly address: unknown;
  readonly boot?: string | undefined;
  readonly at: number;
}

/** Makes the machine known and up. One that is known keeps its age and its epoch. */
export async function upsertMachine(sql: Sql, { id, pool, hostType, labels, address, boot, at }: NewMachine): Promise<void> {
  const text = `INSERT INTO machines (id, pool, host_type, labels, address, epoch, boot, state, created_at, seen_at)
    VALUES (?, ?, ?, ?, ?, 0, ?, 'up', ?, ?)
    ON CONFLICT (id) DO UPDATE SET pool = excluded.pool, host_type = excluded.host_type, labels = excluded.labels,
      address = excluded.address, boot = excluded.boot, state = 'up', seen_at = excluded.seen_at, gone_at = NULL, evidence = NULL`;
  await sql.run(text, [id, pool, hostType, JSON.stringify(labels), JSON.stringify(address ?? null), boot ?? null, at, at]);
}

export async function getMachine(sql: Sql, id: MachineId): Promise<Machine | undefined> {
  const row = await sql.get<MachineRow>(`SELECT ${columns} FROM machines WHERE id = ?`, [id]);
  return row && toMachine(row);
}

/** Those that are up or away, oldest first, and the newest `gone` of those that are gone. */
export async function listMachines(sql: Sql, { gone = 0 }: { readonly gone?: number } = {}): Promise<Machine[]> {
  const here = await sql.all<MachineRow>(`SELECT ${columns} FROM machines WHERE state IN ('up', 'away') ORDER BY created_at, id`);
  const left =
    gone > 0
      ? await sql.all<MachineRow>(`SELECT ${columns} FROM machines WHERE state = 'gone' ORDER BY created_at DESC, id LIMIT ?`, [gone])
      : [];
  return [...here, ...left].map(toMachine);
}

/** Those of the ids that are known. */
export async function getMachines(sql: Sql, ids: readonly MachineId[]): Promise<Machine[]> {
  const found: Machine[] = [];
  for (let from = 0; from < ids.length; from += chunk) {
    const part = ids.slice(from, from + chunk);
    const rows = await sql.all<MachineRow>(`SELECT ${columns} FROM machines WHERE id IN (${placeholders(part.length)})`, part);
    found.push(...rows.map(toMachine));
  }
  return found;
}

/** Ids of those that are up or away. */
export async function machineIds(sql: Sql): Promise<MachineId[]> {
  const rows = await sql.all<{ id: MachineId }>(`SELECT id FROM machines WHERE state IN ('up', 'away')`);
  return rows.map(({ id }) => id);
}

/** Machines that were taken out of work, with what was noted then; those that are gone, too. */
export async function drainedMachines(sql: Sql): Promise<{ id: MachineId; drained: unknown }[]> {
  const rows = await sql.all<{ id: MachineId; drained: string }>('SELECT id, drained FROM machines WHERE drained IS NOT NULL ORDER BY id');
  return rows.map(({ id, drained }) => ({ id, drained: JSON.parse(drained) as unknown }));
}

/** Takes the machine out of work, or gives it back with `undefined`. @throws CroftError `not-found` */
export async function drainMachine(sql: Sql, id: MachineId, drained: unknown): Promise<void> {
  const text = drained === undefined ? null : JSON.stringify(drained);
  if ((await sql.run('UPDATE machines SET drained = ? WHERE id = ?', [text, id])) === 0)
    throw new CroftError('not-found', `there is no machine ${id}`);
}

/** How to reach the machine: what `upsertMachine` was given, secrets and all. @throws CroftError `not-found` when unknown or gone */
export async function connectMachine(sql: Sql, id: MachineId): Promise<unknown> {
  const row = await sql.get<{ address: string }>(`SELECT address FROM machines WHERE id = ? AND state <> 'gone'`, [id]);
  if (!row) throw new CroftError('not-found', `there is no machine ${id}`);
  return JSON.parse(row.address);
}

export type MachineMark =
  | { readonly state: 'up'; readonly at: number; readonly boot?: string | undefined }
  | { readonly state: 'away' | 'gone'; readonly at: number; readonly evidence: string };

/** Notes what was seen of a machine. `gone` is final for this call: only `upsertMachine` brings a machine back. */
export async function markMachine(sql: Sql, id: MachineId, mark: MachineMark): Promise<void> {
  if (mark.state === 'up') {
    const text = `UPDATE machines SET state = 'up', seen_at = ?, boot = coalesce(?, boot), evidence = NULL WHERE id = ? AND state <> 'gone'`;
    await sql.run(text, [mark.at, mark.boot ?? null, id]);
    return;
  }
  const goneAt = mark.state === 'gone' ? mark.at : null;
  const text = `UPDATE machines SET state = ?, gone_at = ?, evidence = ? WHERE id = ? AND state <> 'gone'`;
  await sql.run(text, [mark.state, goneAt, mark.evidence, id]);
}

/** The next epoch of this machine, higher than any before. @throws CroftError `not-found` */
export async function nextEpoch(sql: Sql, id: MachineId): Promise<number> {
  const row = await sql.get<{ epoch: number }>('UPDATE machines SET epoch = epoch + 1 WHERE id = ? RETURNING epoch', [id]);
  if (!row) throw new CroftError('not-found', `there is no machine ${id}`);
  return row.epoch;
}

const columns = 'id, pool, host_type, labels, epoch, boot, state, created_at, seen_at, gone_at, evidence, drained';

interface MachineRow {
  readonly id: MachineId;
  readonly pool: string;
  readonly host_type: string;
  readonly labels: string;
  readonly epoch: number;
  readonly boot: string | null;
  readonly state: MachineState;
  readonly created_at: number;
  readonly seen_at: number;
  readonly gone_at: number | null;
  readonly evidence: string | null;
  readonly drained: string | null;
}

function toMachine(row: MachineRow): Machine {
  return {
    id: row.id,
    pool: row.pool,
    hostType: row.host_type,
    labels: JSON.parse(row.labels) as string[],
    epoch: row.epoch,
    boot: row.boot ?? undefined,
    state: row.state,
    createdAt: row.created_at,
    seenAt: row.seen_at,
    goneAt: row.gone_at ?? undefined,
    evidence: row.evidence ?? undefined,
    drained: row.drained === null ? undefined : (JSON.parse(row.drained) as unknown),
  };
}
