/** Forms that open below a button (`details.act`) close when they were carried out, and on Escape; the keyboard is where it was before. */

export function startActs(): void {
  document.addEventListener('htmx:afterRequest', (event) => {
    const { elt, successful } = (event as CustomEvent<{ readonly elt: Element; readonly successful?: boolean }>).detail;
    if (successful === true) close(elt);
  });
  document.addEventListener('keydown', ({ key, target }) => {
    if (key === 'Escape' && target instanceof Element) close(target);
  });
}

function close(within: Element): void {
  const act = within.closest<HTMLDetailsElement>('details.act[open]');
  if (!act) return;
  act.open = false;
  act.querySelector('summary')?.focus();
}
