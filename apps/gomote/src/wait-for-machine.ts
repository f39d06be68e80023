/** Until a session has its machine, saying meanwhile what it waits for. Whoever does not want to wait any more takes it out of the queue. */
import type { SessionView } from '@croft/protocol/sessions';
import { CroftError } from '@croft/runtime/errors';
import { printable } from '@croft/cli/terminal';
import type { World } from './world.ts';

type Waiting = Pick<World, 'cli' | 'client'> & { readonly status: boolean };

/** @throws CroftError `unavailable` when it ends before, `cancelled` after Ctrl-C */
export async function followToMachine(asked: SessionView, { client, cli, status }: Waiting): Promise<SessionView> {
  using interruption = cli.interruption();
  const { signal } = interruption;
  let last = asked;
  let told: string | undefined;
  try {
    for await (const seen of client.followSession(asked.id, { signal })) {
      last = seen;
      const text = waitingText(seen);
      if (status && text !== undefined && text !== told) await cli.stderr.write(`# ${text}\n`);
      told = text;
    }
  } catch (error) {
    if (signal.aborted) await client.call('session.end', { params: { session: asked.id }, body: { why: 'not waited for any more' } });
    throw error;
  }
  if (last.state === 'active') return last;
  throw new CroftError('unavailable', `${asked.alias} ended before it had a machine: ${last.endReason ?? 'nobody knows why'}`);
}

function waitingText({ alias, state, wait, progress }: SessionView): string | undefined {
  if (state === 'waiting') return printable(`${alias} waits${wait ? ` at place ${wait.position + 1}: ${wait.text}` : ''}`);
  return state === 'preparing' ? printable(`${alias}: ${progress ?? 'is being prepared'}`) : undefined;
}
