/** Facts about the farm as a whole that people change while it runs, such as a pause. Values are JSON. */
import type { Sql } from './database.ts';

export async function getSetting(sql: Sql, key: string): Promise<unknown> {
  const row = await sql.get<{ value: string }>('SELECT value FROM settings WHERE key = ?', [key]);
  return row ? JSON.parse(row.value) : undefined;
}

/** `undefined` removes the setting. */
export async function setSetting(sql: Sql, key: string, value: unknown): Promise<void> {
  if (value === undefined) {
    await sql.run('DELETE FROM settings WHERE key = ?', [key]);
    return;
  }
  const text = 'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';
  await sql.run(text, [key, JSON.stringify(value)]);
}
