/**
 * What a build, attempt or step looks like: one word, one shape, one colour each. The shape and the word say everything; the
 * colour repeats it.
 */
import { html } from 'hono/html';
import type { AttemptView, BuildSummary, MachineView, StepView } from '@croft/protocol/api';
import type { Html } from './markup.ts';

/** In the order of the legend. */
export const looks = ['passed', 'failed', 'timed-out', 'infra', 'cancelled', 'skipped', 'running', 'cancelling', 'queued'] as const;
export type Look = (typeof looks)[number];

const words: Record<Look, string> = {
  passed: 'passed',
  failed: 'failed',
  'timed-out': 'timed out',
  infra: 'infrastructure',
  cancelled: 'cancelled',
  skipped: 'skipped',
  running: 'running',
  cancelling: 'being cancelled',
  queued: 'waiting',
};

export function lookOfBuild(build: Pick<BuildSummary, 'state' | 'end'>): Look {
  return build.state === 'ended' ? (build.end?.kind ?? 'infra') : build.state;
}

export function lookOfAttempt(attempt: Pick<AttemptView, 'state' | 'end'>): Look {
  return attempt.state === 'ended' ? (attempt.end?.kind ?? 'infra') : 'running';
}

/** A step that was killed looks like its attempt's end, which says by what. */
export function lookOfStep(step: StepView, attempt: Pick<AttemptView, 'state' | 'end'>): Look {
  if (step.state === 'pending') return attempt.state === 'ended' ? 'skipped' : 'queued';
  if (step.state === 'running') return attempt.state === 'ended' ? lookOfAttempt(attempt) : 'running';
  switch (step.exit?.kind) {
    case 'exited':
      return step.exit.code === 0 ? 'passed' : 'failed';
    case 'over-limit':
      return step.exit.limit === 'time' ? 'timed-out' : 'failed';
    case 'killed':
      return 'cancelled';
    case 'lost':
      return 'infra';
    default:
      return 'failed';
  }
}

export function lookOfMachine({ state }: Pick<MachineView, 'state'>): Look {
  return ({ ready: 'passed', busy: 'running', away: 'infra', gone: 'skipped' } as const)[state];
}

export function word(look: Look): string {
  return words[look];
}

/** The shape alone, for places where the word stands beside it or in a label. */
export function glyph(look: Look): Html {
  return html`<svg class="glyph ${look}" aria-hidden="true"><use href="#g-${look}"></use></svg>`;
}

/** Shape and word. */
export function badge(look: Look, text = word(look)): Html {
  return html`<span class="badge ${look}">${glyph(look)}${text}</span>`;
}

/** The shapes, once a page. Each differs in outline, not only in colour or detail. */
export const glyphs = html`<svg width="0" height="0" hidden aria-hidden="true">
  <symbol id="g-passed" viewBox="0 0 16 16"><path d="M3 8.6 6.5 12 13 4.5" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/></symbol>
  <symbol id="g-failed" viewBox="0 0 16 16"><path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z" fill="currentColor"/><path d="m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" stroke="var(--surface)" stroke-width="1.9" stroke-linecap="round"/></symbol>
  <symbol id="g-timed-out" viewBox="0 0 16 16"><circle cx="8" cy="8.5" r="5.9" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M8 5.2v3.5l2.3 1.5M5.8 1h4.4" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/></symbol>
  <symbol id="g-infra" viewBox="0 0 16 16"><path d="M8 1.6 15 14H1z" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round"/><path d="M8 6v3.6m0 2v.1" stroke="currentColor" stroke-width="1.9" stroke-linecap="round"/></symbol>
  <symbol id="g-cancelled" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="m4 12 8-8" stroke="currentColor" stroke-width="1.8"/></symbol>
  <symbol id="g-skipped" viewBox="0 0 16 16"><path d="M2 3.2 7.8 8 2 12.8zM8.2 3.2 14 8l-5.8 4.8z" fill="currentColor"/></symbol>
  <symbol id="g-running" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5.8" fill="none" stroke="currentColor" stroke-width="2" opacity=".3"/><path d="M8 2.2A5.8 5.8 0 0 1 13.8 8" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/></symbol>
  <symbol id="g-cancelling" viewBox="0 0 16 16"><path d="M8 2.2A5.8 5.8 0 0 1 13.8 8" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/><path d="m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/></symbol>
  <symbol id="g-queued" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5.8" fill="none" stroke="currentColor" stroke-width="1.8" stroke-dasharray="2.2 2.35"/></symbol>
</svg>`;
