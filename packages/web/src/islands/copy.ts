/** Buttons that copy a line, `data-copy`. They are hidden where there are no scripts, or no clipboard (plain HTTP on an open address). */
import { after } from './browser-clock.ts';

const saidMs = 1_500;

export function startCopying(): void {
  if (!navigator.clipboard) return;
  document.documentElement.classList.add('copies');
  document.addEventListener('click', ({ target }) => {
    const button = target instanceof Element ? target.closest<HTMLElement>('button[data-copy]') : null;
    if (!button) return;
    const told = (text: string): void => {
      button.textContent = text;
      after(saidMs, () => (button.textContent = 'Copy'));
    };
    navigator.clipboard.writeText(button.dataset['copy'] ?? '').then(
      () => told('Copied'),
      () => told('Not allowed'),
    );
  });
}
