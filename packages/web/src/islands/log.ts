/**
 * The log viewer of the build page: opens the log that the page names, goes on to the next attempt's log when the page names
 * another, and works the tool bar. Without this script the page shows the log's end as text.
 */
import { openLog, type OpenLog } from './log-panel.ts';

const panel = document.querySelector<HTMLElement>('#log');
let shown = '';
let open: OpenLog | undefined;

/** The fragment with the attempts says which log belongs to it. */
function look(): void {
  const source = document.querySelector<HTMLElement>('#log-source')?.dataset;
  if (!panel || !source?.['url'] || !source['linesUrl']) return;
  if (source['url'] !== shown) {
    shown = source['url'];
    open?.close();
    open = openLog(panel, { url: source['url'], linesUrl: source['linesUrl'], attempt: source['attempt'] ?? '' });
  }
}

look();
document.addEventListener('htmx:afterSettle', look);
