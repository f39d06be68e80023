/** `/runs` and below. @see docs/protocols/runs.md */
import { constants } from 'node:os';
import { maxWaitMs, runSpecSchema, terminalSizeSchema } from '@croft/protocol/runs';
import { parseRunId } from '@croft/domain/names';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { pour } from '@croft/streams/gather';
import type { Take } from '@croft/streams/pour';
import { freeWhole } from '@croft/streams/release';
import * as z from 'zod';
import { json, noContent, refusal, type Answer } from '../http/answer.ts';
import { queryNumber, readJson, requestEpoch, requestSource } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Admission, Fence } from '../state/fence.ts';
import type { SourceNote } from '../state/source.ts';
import type { RunOutput } from './outputs.ts';
import type { ManagedRun } from './run.ts';
import type { Runs } from './runs.ts';

const cancelSchema = z.object({ reason: z.string().min(1).max(1_000) });

export interface RunRouteDeps {
  readonly runs: Runs;
  readonly fence: Fence;
  readonly source: SourceNote;
  readonly clock: Clock;
}

type Handler = (id: string, call: Call, deps: RunRouteDeps) => Promise<Answer>;

const handlers: Readonly<Record<string, Handler>> = {
  'PUT ': startOrAttach,
  'GET ': show,
  'DELETE ': collect,
  'GET output': output,
  'POST ack': acknowledge,
  'POST signal': signalRun,
  'POST cancel': cancel,
  'PUT stdin': writeInput,
  'PUT size': resize,
  'POST size': resize,
};

/** The route for `/runs` or for one run's path; undefined for other paths. */
export function findRunRoute(path: string, deps: RunRouteDeps): Route | undefined {
  if (path === '/runs') return { style: 'json', handle: (call) => listRuns(call, deps) };
  const [, id, action = ''] = /^\/runs\/([^/]+)(?:\/([a-z]+))?$/.exec(path) ?? [];
  if (id === undefined || !Object.keys(handlers).some((key) => key.endsWith(` ${action}`))) return undefined;
  return {
    style: 'json',
    async handle(call) {
      const handler = handlers[`${call.method} ${action}`];
      if (!handler) return refusal(400, { code: 'invalid', message: `${call.path} does not serve ${call.method}` });
      return handler(parseRunId(id), call, deps);
    },
  };
}

async function listRuns({ method }: Call, { runs }: RunRouteDeps): Promise<Answer> {
  if (method !== 'GET') return refusal(400, { code: 'invalid', message: '/runs serves GET' });
  return json({ runs: runs.list().map((run) => run.view()) });
}

async function startOrAttach(id: string, { request }: Call, { runs, fence, source }: RunRouteDeps): Promise<Answer> {
  const spec = await readJson(request, runSpecSchema, `start run ${id}`);
  using admission = await enter(request, fence);
  const asked = requestSource(request);
  const ready = (): boolean => asked === undefined || asked === source.name;
  const result = await runs.startOrAttach(id, spec, { ready, signal: admission.signal });
  switch (result.kind) {
    case 'started':
      return json(result.run.view(), 201);
    case 'attached':
      return json(result.run.view());
    case 'another':
      return refusal(409, {
        code: 'conflict',
        message: `run ${id} exists with another command`,
        hint: 'An id names one command for ever; use a new one.',
      });
    case 'not-ready':
      return refusal(409, {
        code: 'conflict',
        message: `start run ${id}: the source ${asked} does not lie in the work directory (any more)`,
        hint: 'Send it again, and begin from the first command.',
      });
    case 'no-terminal':
      return refusal(501, {
        code: 'unavailable',
        message: `start run ${id}: this buildlet has no terminals`,
        hint: 'Put pty.node of @lydell/node-pty 1.1.0 for its system beside its program, or name it with -pty-module.',
      });
    case 'collected':
      return wasCollected(id);
    case 'ending':
      return refusal(503, { code: 'unavailable', message: `start run ${id}: the buildlet is ending` });
    case 'low-disk':
      return refusal(507, {
        code: 'exhausted',
        message: `start run ${id}: the disk is below its low-water mark`,
        hint: 'Free disk space on the worker.',
      });
    case 'too-many':
      return refusal(429, {
        code: 'exhausted',
        message: `start run ${id}: too many runs wait to be collected`,
        hint: 'Collect ended runs.',
      });
  }
}

async function show(id: string, { query, signal }: Call, { runs, clock }: RunRouteDeps): Promise<Answer> {
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  const waitMs = Math.min(queryNumber(query, 'wait'), maxWaitMs);
  if (waitMs > 0 && !run.hasEnded) {
    const done = new AbortController();
    await Promise.race([run.ended, clock.sleep(waitMs, { signal: anySignal(signal, done.signal) }).catch(() => {})]);
    done.abort();
  }
  return json(run.view());
}

/** What the command wrote, or with `stream=stderr` its standard error where that is apart. */
function streamOf(run: ManagedRun, query: URLSearchParams): RunOutput {
  const name = query.get('stream');
  if (name === null) return run.output;
  if (name === 'stderr' && run.stderr) return run.stderr;
  throw new CroftError('invalid', `run ${run.id} has no output ${JSON.stringify(name.slice(0, 40))} of its own`);
}

async function output(id: string, { query, signal }: Call, { runs }: RunRouteDeps): Promise<Answer> {
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  const from = queryNumber(query, 'from');
  const { spool } = streamOf(run, query);
  const to = spool.length;
  if (from > to) return refusal(416, { code: 'invalid', message: `run ${id} has written ${to} bytes, not ${from}` });
  if (from < spool.from)
    return refusal(410, { code: 'not-found', message: `output of run ${id} below byte ${spool.from} was acknowledged and dropped` });
  if (query.get('follow') === '1') return { kind: 'live', pour: (take) => spool.pour(from, take, { signal }) };
  return { kind: 'stream', length: to - from, pieces: () => spool.read({ from, to, reuseBuffer: true }) };
}

async function acknowledge(id: string, call: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  using _admission = await enter(call.request, fence);
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  const to = queryNumber(call.query, 'to');
  const written = streamOf(run, call.query);
  const { length } = written.spool;
  if (to > length) return refusal(416, { code: 'invalid', message: `run ${id} has written ${length} bytes, not ${to}` });
  await written.ack(to);
  return json(run.view());
}

async function signalRun(id: string, { request, query }: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  using _admission = await enter(request, fence);
  const name = query.get('name') ?? '';
  if (!(name in constants.signals))
    return refusal(400, { code: 'invalid', message: `there is no signal ${JSON.stringify(name.slice(0, 40))}` });
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  if (!run.controls.signal(name as NodeJS.Signals)) return conflict(`run ${id} has ended`);
  return json(run.view());
}

async function cancel(id: string, { request, signal }: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  const { reason } = await readJson(request, cancelSchema, `cancel run ${id}`);
  using admission = await enter(request, fence);
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  run.controls.kill({ kind: 'killed', reason });
  await endOf(run, anySignal(signal, admission.signal));
  return json(run.view());
}

async function collect(id: string, { request }: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  using _admission = await enter(request, fence);
  const found = await runs.collect(id);
  if (found === 'running') return refusal(409, { code: 'conflict', message: `run ${id} has not ended`, hint: 'Cancel it first.' });
  return noContent;
}

async function writeInput(id: string, { request, query, signal: gone }: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  const from = queryNumber(query, 'from');
  using admission = await enter(request, fence);
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  const { input } = run.controls;
  if (run.hasEnded || !input) return conflict(`run ${id} ${run.hasEnded ? 'has ended' : 'reads no input'}`);
  const pourBody = (take: Take): Promise<void> => pour(request, take, { free: freeWhole, destroys: false });
  const signal = anySignal(gone, admission.signal);
  const taking = await input.take({ from, pour: pourBody, end: query.get('end') === '1', signal });
  if (taking === 'closed') return conflict(`run ${id} takes no more input than its first ${input.taken} bytes`);
  if (taking === 'beyond')
    return refusal(416, { code: 'invalid', message: `run ${id} has taken ${input.taken} bytes of input, not ${from}` });
  return json({ length: input.taken });
}

async function resize(id: string, { request, query }: Call, { runs, fence }: RunRouteDeps): Promise<Answer> {
  const size = terminalSizeSchema.safeParse({ cols: queryNumber(query, 'cols'), rows: queryNumber(query, 'rows') });
  if (!size.success) return refusal(400, { code: 'invalid', message: 'cols and rows are 1 to 1000 each' });
  using _admission = await enter(request, fence);
  const run = await runs.find(id);
  if (typeof run === 'string') return missing(id, run);
  if (run.hasEnded || !run.controls.resize(size.data)) return conflict(`run ${id} ${run.hasEnded ? 'has ended' : 'has no terminal'}`);
  return json(run.view());
}

function conflict(message: string): Answer {
  return refusal(409, { code: 'conflict', message });
}

/** On our own endpoints a sender must say its epoch. */
function enter(request: Call['request'], fence: Fence): Promise<Admission> {
  const epoch = requestEpoch(request);
  if (epoch === undefined) throw new CroftError('invalid', 'the header Croft-Epoch is required', { hint: 'Send the epoch of your lease.' });
  return fence.enter(epoch);
}

function missing(id: string, why: 'unknown' | 'collected'): Answer {
  return why === 'collected' ? wasCollected(id) : refusal(404, { code: 'not-found', message: `run ${id} was never heard of` });
}

function wasCollected(id: string): Answer {
  return refusal(410, { code: 'not-found', message: `run ${id} was collected` });
}

async function endOf(run: ManagedRun, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([run.ended, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
