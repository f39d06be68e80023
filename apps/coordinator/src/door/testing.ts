/** What tests of the door need. */
import { silentLog } from '@croft/runtime/log';
import { openDatabase, type Database } from '@croft/store/database';
import { freshFile } from '@croft/store/testing';

/** A store of its own, removed at disposal. */
export async function openTestStore(): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(freshFile());
  const database = stack.use(await openDatabase({ url, durability: 'kill', log: silentLog }));
  const owned = stack.move();
  return { ...database, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
