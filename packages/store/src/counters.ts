/** Numbers that only go up: the order in which things were stored. */
import type { Sql } from './database.ts';

/**
 * The next number. On PostgreSQL the row stays locked until the transaction ends, so whoever reads up to a number has seen
 * every lower one that will ever be there.
 */
export async function nextNumber(sql: Sql, counter: 'builds' | 'audit'): Promise<number> {
  const text = `INSERT INTO counters (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`;
  const row = await sql.get<{ value: number }>(text, [counter]);
  return row?.value ?? 1;
}
