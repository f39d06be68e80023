/** What every page loads: htmx for forms and fragments, live changes, times that stay true, theme, keys. */
import { startActs } from './acts.ts';
import { startCopying } from './copy.ts';
import { startKeys } from './keys.ts';
import { startLive } from './live.ts';
import { startMorph } from './morph.ts';
import { startNotices } from './notices.ts';
import { startTheme } from './theme.ts';
import { startTicks } from './ticks.ts';

document.documentElement.classList.add('scripted');
startMorph();
startTheme();
startTicks();
startLive();
startNotices();
startKeys();
startCopying();
startActs();

// A chooser takes effect when something is chosen; without scripts its button does the same.
document.addEventListener('change', ({ target }) => {
  if (target instanceof HTMLSelectElement && target.form?.method === 'get') target.form.requestSubmit();
});
