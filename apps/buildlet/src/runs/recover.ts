/** Runs of a predecessor over the same directory: what it left running is killed, what it had not ended is `lost`, with evidence. */
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { messages } from '../events.ts';
import { fellLeftTree } from '../tree/trees.ts';
import { openOutputs } from './outputs.ts';
import type { End, Records, StoredRun } from './records.ts';
import { createRun, type ManagedRun } from './run.ts';

export interface RecoverDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly records: Records;
}

/** Every uncollected run, each of them ended, oldest first. Call before serving. */
export async function recoverRuns(deps: RecoverDeps): Promise<ManagedRun[]> {
  const runs: ManagedRun[] = [];
  for (const stored of await deps.records.load()) runs.push(await recoverRun(stored, deps));
  return runs;
}

async function recoverRun(stored: StoredRun, { clock, log, records }: RecoverDeps): Promise<ManagedRun> {
  const { id, intent, process } = stored;
  const outputs = await openOutputs(records, id, intent.spec);
  const run = createRun({ id, spec: intent.spec, startedAt: intent.startedAt, outputs });
  if (stored.end) {
    run.end(stored.end);
    return run;
  }
  const { found, left } = await fellLeftTree(clock, intent.tree, process);
  const evidence = [
    process ? `it ran as process ${process.pid}` : 'its process was not recorded yet',
    `${outputs.output.spool.length} bytes of output were kept`,
    found === 0 ? 'nothing of it was still running' : `${found} process(es) of it were still running and were killed`,
    ...(left.length > 0 ? [`these would not die: ${left.join(', ')}`] : []),
  ];
  const end: End = { endedAt: clock.now(), exit: { kind: 'lost', reason: `its buildlet died while it ran; ${evidence.join('; ')}` } };
  await records.saveEnd(id, end);
  run.end(end);
  log.warn(messages.runLost, { run: id, evidence });
  return run;
}
