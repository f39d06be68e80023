/**
 * `/runs` of a session whose machine has one of Go's buildlets, which has none: this coordinator drives its commands, and answers in the
 * place of the machine. They end with it.
 */
import { once } from 'node:events';
import { parseRunId, type RunId } from '@croft/domain/names';
import { runSpecSchema } from '@croft/protocol/runs';
import { CroftError } from '@croft/runtime/errors';
import { parseInput } from '@croft/web/body';
import type { Entered } from '../sessions/sessions.ts';
import { maxRunBytes, sendJson, type Passing } from './pass.ts';
import { runOn } from './start-command.ts';
import { readWhole, type Visit } from './visit.ts';

/** @throws CroftError whatever the driver says, `exhausted` for what Go's buildlets cannot do */
export async function serveRunOnGo({ visit, entered, path, signal }: Passing): Promise<void> {
  const { pathname, searchParams: query } = new URL(path, 'http://machine');
  const [, , name = '', verb = ''] = pathname.split('/');
  const id = parseRunId(name);
  const { buildlet, epoch } = entered;
  const { outgoing, incoming } = visit;
  switch (`${incoming.method} ${verb}`) {
    case 'PUT ':
      return sendJson(outgoing, await start(id, visit, entered));
    case 'GET ':
      return sendJson(outgoing, await found(id, { entered, waitMs: numberIn(query, 'wait'), signal }));
    case 'GET output':
      return follow(buildlet.output(id, numberIn(query, 'from'), { signal }), visit, signal);
    case 'POST ack':
      await buildlet.ack(id, numberIn(query, 'to'), epoch, { signal });
      return sendJson(outgoing, {});
    case 'POST cancel':
      return sendJson(outgoing, await buildlet.cancel(id, reasonIn(await readWhole(visit, maxRunBytes)), epoch, { signal }));
    case 'DELETE ':
      await buildlet.collect(id, epoch, { signal });
      outgoing.statusCode = 204;
      return void outgoing.end();
    default:
      throw new CroftError('exhausted', `one of Go’s buildlets has no ${incoming.method} ${verb} of a run`);
  }
}

/** What a session gives beside variables cannot be told to Go's buildlets. */
async function start(id: RunId, visit: Visit, entered: Entered): Promise<object> {
  const { buildlet, epoch } = entered;
  const {
    elseDir,
    path: _,
    dir,
    ...given
  } = JSON.parse(runOn(entered, String(await readWhole(visit, maxRunBytes)))) as Record<string, unknown>;
  const spec = parseInput(runSpecSchema, { ...given, dir: elseDir ?? dir }, 'the run');
  return buildlet.startOrAttach(id, spec, epoch, { signal: visit.gone });
}

interface Asked {
  readonly entered: Entered;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

async function found(id: RunId, { entered: { buildlet }, waitMs, signal }: Asked): Promise<object> {
  const run = await buildlet.run(id, { waitMs, signal });
  if (typeof run === 'object') return run;
  throw new CroftError('not-found', run === 'collected' ? `run ${id} was collected` : `there is no run ${id}`);
}

async function follow(output: AsyncIterable<Buffer>, { outgoing }: Visit, signal: AbortSignal): Promise<void> {
  outgoing.writeHead(200, { 'content-type': 'application/octet-stream', 'x-content-type-options': 'nosniff' });
  outgoing.flushHeaders();
  for await (const piece of output) {
    const own = Buffer.from(piece); // its buffer is used again
    if (!outgoing.write(own)) await once(outgoing, 'drain', { signal });
  }
  outgoing.end();
}

function numberIn(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '0';
  if (!/^\d{1,15}$/.test(text)) throw new CroftError('invalid', `${name} is not a number`);
  return Number(text);
}

function reasonIn(body: Buffer): string {
  const [, reason] = /"reason"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(body.toString('utf8')) ?? [];
  return reason?.slice(0, 500) ?? 'cancelled';
}
