/** The steps of an attempt: what each ran, how it ended, and when on a common time line. */
import { html } from 'hono/html';
import type { AttemptView, StepView } from '@croft/protocol/api';
import { formatBytes } from '@croft/web/html/format';
import { bdi, plain, span, type Html } from '@croft/web/html/markup';
import { glyph, lookOfStep, word } from '@croft/web/html/state';

export function stepList(attempt: AttemptView, now: number): Html {
  const end = attempt.endedAt ?? now;
  return html`<ol class="steps" aria-label="Steps">${attempt.steps.map((step) => stepRow(step, attempt, { from: attempt.startedAt, to: Math.max(end, attempt.startedAt + 1), now }))}</ol>`;
}

interface Scale {
  readonly from: number;
  readonly to: number;
  readonly now: number;
}

function stepRow(step: StepView, attempt: AttemptView, { from, to, now }: Scale): Html {
  const look = lookOfStep(step, attempt);
  // A step that was still running when its attempt ended, ended with it.
  const endedAt = step.endedAt ?? (attempt.state === 'ended' ? (attempt.endedAt ?? now) : undefined);
  const output = step.logFrom !== undefined && step.logTo !== undefined ? formatBytes(step.logTo - step.logFrom) : '';
  const name = html`${glyph(look)}<span class="unseen">${word(look)} </span>${bdi(step.name)}`;
  return html`<li class="step ${look}" id="step-${step.name}">
<span class="step-name">${step.logFrom === undefined ? name : html`<a href="#log" data-log-from="${step.logFrom}" data-step title="show its output">${name}</a>`}</span>
<code class="argv" title="${plain(commandLine(step.argv))}">${bdi(commandLine(step.argv))}</code>
<span class="exit">${step.exit ? exitText(step.exit) : ''}</span>
<span class="size num">${output}</span>
<span class="took" title="${usedText(step)}">${step.startedAt === undefined ? '' : span(step.startedAt, endedAt, now)}</span>
${step.startedAt === undefined ? html`<span class="line"></span>` : bar(look, [step.startedAt - from, (endedAt ?? now) - from], to - from)}
${seenBeside(step)}</li>`;
}

function usedText({ usage }: StepView): string {
  return usage ? `${(usage.cpuMs / 1_000).toFixed(1)} s of processor time, at most ${formatBytes(usage.peakBytes)} of memory` : '';
}

/** What its machine went through is told beside an end that is not a success. */
function seenBeside(step: StepView): Html | string {
  const passed = !step.exit || (step.exit.kind === 'exited' && step.exit.code === 0);
  const told = [...(step.evidence ?? []), usedText(step)].filter(Boolean);
  return passed || told.length === 0 ? '' : html`<p class="seen">${bdi(told.join(' · '))}</p>`;
}

/** Drawn with attributes: the pages' policy forbids inline styles. */
export function bar(look: string, [fromMs, toMs]: readonly [number, number], wholeMs: number): Html {
  const start = Math.min(996, Math.max(0, Math.round((fromMs / wholeMs) * 1000)));
  const width = Math.max(4, Math.min(1000, Math.round((toMs / wholeMs) * 1000)) - start);
  return html`<svg class="line ${look}" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="1000" height="8"/><rect x="${start}" width="${width}" height="8"/></svg>`;
}

/** As one could type it; quotes only where they are needed. */
function commandLine(argv: readonly string[]): string {
  return argv
    .map((word_) => (/^[\w@%+=:,./-]+$/.test(word_) ? word_ : `'${word_.replaceAll("'", `'\\''`)}'`))
    .join(' ')
    .slice(0, 2000);
}

function exitText(exit: NonNullable<StepView['exit']>): Html | string {
  switch (exit.kind) {
    case 'exited':
      return exit.code === 0 ? '' : `exit ${exit.code}`;
    case 'signalled':
      return exit.signal;
    case 'over-limit':
      return exit.limit === 'time' ? 'time limit' : 'output limit';
    case 'not-started':
    case 'killed':
    case 'lost':
      return html`<span title="${plain(exit.reason)}">${exit.kind.replace('-', ' ')}</span>`;
    default:
      return exit satisfies never;
  }
}
