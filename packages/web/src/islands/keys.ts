/**
 * Single keys for people who live in this page. Each does what some link or button does (`data-key` on it), so that nothing is
 * reachable by keys alone; the help dialog lists what the page has and switches all of them off (WCAG 2.1.4).
 */
import { gridMove } from './grid-keys.ts';
import { after } from './browser-clock.ts';

const chordMs = 1500;
const offKey = 'croft-keys-off';

export function startKeys(): void {
  let chord = '';
  let forget = (): void => {};
  const help = createHelp();
  document.addEventListener('keydown', (event) => {
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.defaultPrevented ||
      typing(event.target) ||
      document.querySelector('dialog[open]')
    )
      return;
    if (localStorage.getItem(offKey) === '1') return;
    if (gridMove(event) || stepMove(event)) return;
    const keys = chord + event.key;
    chord = '';
    forget();
    if (keys === 'g') {
      chord = 'g ';
      forget = after(chordMs, () => (chord = ''));
    } else if (keys === '?') help();
    else if (!press(keys)) return;
    event.preventDefault();
  });
}

/** To the next or previous step and its output; true when the key was used up. */
function stepMove(event: KeyboardEvent): boolean {
  const steps = [...document.querySelectorAll<HTMLElement>('a[data-step]')];
  const move = { j: 1, k: -1 }[event.key];
  if (!move || steps.length === 0) return false;
  event.preventDefault();
  const at = steps.indexOf(document.activeElement as HTMLElement);
  const step = steps[at < 0 ? 0 : Math.min(steps.length - 1, Math.max(0, at + move))];
  step?.focus();
  step?.click();
  return true;
}

/** Does what the element with this key does. A field is focused, a link or button pressed. */
function press(keys: string): boolean {
  if (keys === 'g b') return go('/');
  if (keys === 'g f') return go('/farm');
  if (keys === 'g r') return go('/repos');
  if (keys === 'g u') return go('/builders');
  if (keys === 'g m') return go('/sessions');
  const element = document.querySelector<HTMLElement>(`[data-key="${CSS.escape(keys)}"]`);
  if (!element || element.closest('[hidden]')) return false;
  if (element instanceof HTMLInputElement && element.type !== 'checkbox') element.select();
  element.focus();
  if (!(element instanceof HTMLInputElement) || element.type === 'checkbox') element.click();
  return true;
}

function go(path: string): true {
  location.assign(path);
  return true;
}

function typing(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox' && target.type !== 'button';
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

function createHelp(): () => void {
  const button = document.querySelector<HTMLButtonElement>('#help');
  if (button) button.hidden = false;
  const show = (): void => {
    const dialog = document.createElement('dialog');
    dialog.className = 'keys';
    dialog.setAttribute('aria-label', 'Keyboard shortcuts');
    dialog.append(heading(), list(), offSwitch(), closer());
    dialog.addEventListener('close', () => {
      dialog.remove();
      button?.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  };
  button?.addEventListener('click', show);
  return show;
}

function list(): HTMLElement {
  const rows: [string, string][] = [
    ['g b', 'go to builds'],
    ['g r', 'go to repositories'],
    ['g u', 'go to builders'],
    ['g f', 'go to farm'],
    ['g m', 'go to sessions: borrowed machines'],
  ];
  if (document.querySelector('table.grid'))
    rows.push(['← ↑ ↓ → or h j k l', 'move between builds in the grid'], ['n', 'next build that did not pass'], ['Enter', 'open it']);
  if (document.querySelector('a[data-step]')) rows.push(['j, k', 'next, previous step and its output']);
  for (const element of document.querySelectorAll<HTMLElement>('[data-key]')) {
    if (!element.closest('[hidden]')) rows.push([element.dataset['key'] ?? '', element.dataset['keyText'] ?? element.textContent.trim()]);
  }
  rows.push(['?', 'this help']);
  const table = make('dl');
  for (const [keys, text] of rows) {
    const term = make('dt');
    term.append(make('kbd', keys));
    table.append(term, make('dd', text));
  }
  return table;
}

function heading(): HTMLElement {
  return make('h2', 'Keyboard shortcuts');
}

function offSwitch(): HTMLElement {
  const label = make('label');
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.checked = localStorage.getItem(offKey) !== '1';
  box.addEventListener('change', () => localStorage.setItem(offKey, box.checked ? '0' : '1'));
  label.append(box, ' Single-key shortcuts are on');
  return label;
}

function closer(): HTMLElement {
  const form = document.createElement('form');
  form.method = 'dialog';
  form.append(make('button', 'Close'));
  return form;
}

function make(tag: string, text = ''): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
