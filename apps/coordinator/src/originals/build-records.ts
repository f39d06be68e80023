/**
 * What happened in a build, in the originals' words (coordinator.md 4.8): events, the spans between them, and the record of the
 * build. All of it follows from what is stored about attempts and steps, so nothing can be missing after a restart. Pure.
 */
import type * as z from 'zod';
import type { AttemptView, BuildDetail, StepView } from '@croft/protocol/api';
import type { buildRecordsSchema } from '@croft/protocol/build-records';
import { endText } from '@croft/domain/outcome';
import { iso } from '@croft/web/html/format';

export type BuildRecords = z.infer<typeof buildRecordsSchema>;
type Event = BuildRecords['events'][number];
type Span = BuildRecords['spans'][number];

export function recordsOf(build: BuildDetail): BuildRecords {
  return {
    events: build.attemptList.flatMap((attempt) => eventsOf(build, attempt)),
    spans: build.attemptList.flatMap((attempt) => spansOf(build, attempt)),
    record: recordOf(build),
  };
}

/** In order of time. A span ends with `finish_` and its name (REC-1). */
export function eventsOf(build: BuildDetail, attempt: AttemptView): Event[] {
  const number = attempt.number;
  const queued: Event[] = number === 1 ? [{ attempt: number, at: build.createdAt, event: 'queued', text: '' }] : [];
  const steps = attempt.steps.flatMap((step): Event[] => {
    if (step.startedAt === undefined) return [];
    const begun = { attempt: number, at: step.startedAt, event: eventOf(step), text: step.name };
    if (step.endedAt === undefined) return [begun];
    const error = errorOf(step);
    const after = `after ${formatSpan(step.endedAt - step.startedAt)}${error === '' ? '' : `; err=${error}`}; ${step.name}`;
    return [begun, { attempt: number, at: step.endedAt, event: `finish_${begun.event}`, text: after }];
  });
  const ended =
    attempt.endedAt === undefined
      ? []
      : [{ attempt: number, at: attempt.endedAt, event: 'done', text: attempt.end ? endText(attempt.end) : '' }];
  return [...queued, { attempt: number, at: attempt.startedAt, event: 'using_buildlet', text: attempt.machine }, ...steps, ...ended];
}

function spansOf(build: BuildDetail, attempt: AttemptView): Span[] {
  return attempt.steps.flatMap((step): Span[] => {
    if (step.startedAt === undefined || step.endedAt === undefined) return [];
    const { startedAt, endedAt } = step;
    const times = { StartTime: iso(startedAt), EndTime: iso(endedAt), Seconds: (endedAt - startedAt) / 1_000 };
    return [
      {
        ...whatOf(build),
        BuildID: `${build.id}.${attempt.number}`,
        Event: eventOf(step),
        Error: errorOf(step),
        Detail: step.name,
        ...times,
      },
    ];
  });
}

function recordOf(build: BuildDetail): BuildRecords['record'] {
  const last = build.attemptList.at(-1);
  const from = last?.startedAt ?? build.createdAt;
  const to = last?.endedAt;
  const { kind } = build.end ?? {};
  return {
    ...whatOf(build),
    ID: build.id,
    StartTime: iso(from),
    ...(to === undefined ? {} : { EndTime: iso(to), Seconds: (to - from) / 1_000 }),
    Result: kind === 'passed' ? 'ok' : kind === 'failed' || kind === 'timed-out' ? 'fail' : '',
    LogURL: last?.log.url ?? '',
  };
}

function whatOf({ builder, repo, revision, trigger }: BuildDetail): Pick<Span, 'IsTry' | 'Rev' | 'Repo' | 'Builder' | 'OS' | 'Arch'> {
  const [OS = '', Arch = ''] = builder.split('-');
  return { IsTry: trigger.kind === 'change', Rev: revision, Repo: repo, Builder: builder, OS, Arch };
}

function eventOf({ role, name }: StepView): string {
  if (name === 'source') return 'write_source';
  return role === 'step' ? 'run_step' : role.replaceAll('-', '_');
}

function errorOf({ exit }: StepView): string {
  if (!exit || (exit.kind === 'exited' && exit.code === 0)) return '';
  if (exit.kind === 'exited') return `exit status ${exit.code}`;
  return exit.kind === 'signalled' ? `signal: ${exit.signal}` : exit.reason;
}

/** A time as the originals write it, rounded half up (REC-2): `10.6s`, `9.46s`, `859.4ms`. */
export function formatSpan(ms: number): string {
  const unit = ms > 10_000 ? 100 : ms > 1_000 ? 10 : 0.1;
  const tenths = Math.floor((ms + unit / 2) / unit + 1e-9) * Math.round(unit * 10); // tenths of a millisecond, exact
  if (tenths === 0) return '0s';
  if (tenths < 10) return `${tenths * 100}µs`;
  if (tenths < 10_000) return `${tenths / 10}ms`;
  const seconds = Math.floor(tenths / 10_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  return `${hours > 0 ? `${hours}h` : ''}${seconds >= 60 ? `${minutes}m` : ''}${((tenths % 600_000) / 10_000).toString()}s`;
}
