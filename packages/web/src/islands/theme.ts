/** Auto, dark, light: kept in a cookie, so that the server renders the right one and nothing flashes. */

const order = ['auto', 'dark', 'light'] as const;
type Theme = (typeof order)[number];

export function startTheme(): void {
  const button = document.querySelector<HTMLButtonElement>('#theme');
  if (!button) return;
  button.hidden = false;
  show(button, current());
  button.addEventListener('click', () => {
    const next = order[(order.indexOf(current()) + 1) % order.length] ?? 'auto';
    apply(next);
    show(button, next);
  });
}

function current(): Theme {
  const theme = document.documentElement.dataset['theme'];
  return theme === 'dark' || theme === 'light' ? theme : 'auto';
}

function apply(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
  document.querySelector('meta[name=color-scheme]')?.setAttribute('content', theme === 'auto' ? 'light dark' : theme);
  document.cookie = `croft-theme=${theme}; path=/; max-age=${theme === 'auto' ? 0 : 31_536_000}; samesite=lax`;
}

function show(button: HTMLButtonElement, theme: Theme): void {
  button.textContent = `Theme: ${theme}`;
}
