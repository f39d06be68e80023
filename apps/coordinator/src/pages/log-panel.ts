/** The log on the build page: its end as text for everybody, which the viewer replaces where scripts run. */
import { html } from 'hono/html';
import type { AttemptView, BuildDetail } from '@croft/protocol/api';
import { formatBytes } from '@croft/web/html/format';
import { bdi, type Html } from '@croft/web/html/markup';

export interface LogTail {
  readonly text: string;
  /** Bytes before it. */
  readonly skipped: number;
}

/** Says which log belongs to the attempts shown; part of what renews itself, so that a new attempt brings its log. */
export function logSource(build: BuildDetail, attempt: AttemptView | undefined): Html {
  if (!attempt || attempt.log.state === 'expired') return html`<div id="log-source" hidden></div>`;
  return html`<div id="log-source" hidden data-url="${attempt.log.url}" data-lines-url="${build.url}/attempts/${attempt.number}/lines" data-attempt="${attempt.number}"></div>`;
}

export function logPanel(build: BuildDetail, attempt: AttemptView | undefined, tail: LogTail | undefined): Html {
  return html`<section id="log" aria-label="Log">
<div class="log-head"><h2>Log <small class="count">${attempt ? size(attempt) : ''}</small></h2>
${attempt && attempt.log.state !== 'expired' ? html`<a class="raw" href="${attempt.log.url}" download="${build.id}.${attempt.number}.log">Raw</a>` : ''}
<div class="tools" hidden>
<label class="check"><input type="checkbox" name="follow" data-key="f" data-key-text="follow the end of the log"> Follow</label>
<label class="check"><input type="checkbox" name="wrap" data-key="w" data-key-text="wrap long lines"> Wrap</label>
<button type="button" class="quiet" name="error" data-key="e" data-key-text="go to the first error">First error</button>
<form class="find" role="search"><input type="search" name="find" aria-label="Find in the log" placeholder="Find" data-key="/" data-key-text="find in the log"><button class="quiet" value="on" aria-label="Find next" title="Find next (Enter)">↓</button><button class="quiet" value="back" aria-label="Find previous" title="Find previous">↑</button></form>
<form class="goto"><input name="line" inputmode="numeric" pattern="[0-9]*" size="7" aria-label="Line number" placeholder="Line" data-key="l" data-key-text="go to a line"><button class="quiet" value="go">Go</button><button class="quiet" value="copy">Copy link</button></form>
</div>
<span class="said" role="status"></span></div>
<div class="rows" role="region" aria-label="Log text" tabindex="0">${text(attempt, tail)}</div>
</section>`;
}

function size({ log }: AttemptView): string {
  return [log.lines === undefined ? '' : `${log.lines.toLocaleString('en')} lines`, formatBytes(log.bytes)].filter(Boolean).join(', ');
}

function text(attempt: AttemptView | undefined, tail: LogTail | undefined): Html {
  if (!attempt) return html`<p class="nothing">There is no log yet.</p>`;
  if (attempt.log.state === 'expired')
    return html`<p class="nothing">This log was removed: it was older or larger than its builder keeps them.</p>`;
  if (!tail || tail.text === '')
    return html`<p class="nothing">${attempt.state === 'running' ? 'No output yet.' : 'The commands wrote nothing.'}</p>`;
  return html`${tail.skipped > 0 ? html`<p class="nothing">The last lines; ${formatBytes(tail.skipped)} before them are in the raw log.</p>` : ''}<pre>${bdi(tail.text)}</pre>`;
}
