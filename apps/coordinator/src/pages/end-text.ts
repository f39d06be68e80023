/** How something ended, with its cause and evidence, for people. */
import { html } from 'hono/html';
import type { AttemptView } from '@croft/protocol/api';
import { bdi, type Html } from '@croft/web/html/markup';

export type End = NonNullable<AttemptView['end']>;

export function endDetail(end: End): Html {
  switch (end.kind) {
    case 'passed':
      return html`Every step passed.`;
    case 'failed':
      return html`Step ${bdi(end.step)} failed: ${bdi(end.text)}`;
    case 'timed-out':
      return html`Step ${bdi(end.step)} ran out of time: ${bdi(end.text)}`;
    case 'cancelled':
      return html`Cancelled by ${bdi(end.by)}: ${bdi(end.why)}`;
    case 'infra':
      return html`The farm is to blame, not the code (${end.cause}): ${bdi(end.evidence)}`;
    case 'skipped':
      return html`Skipped: ${bdi(end.why)}`;
    default:
      return end satisfies never;
  }
}
