/** Moving the focus between the cells of the grid: arrows or hjkl, and `n` for the next build that did not pass. */

const moves: Readonly<Record<string, readonly [rows: number, columns: number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  k: [-1, 0],
  j: [1, 0],
  h: [0, -1],
  l: [0, 1],
};
const unwell = ['failed', 'timed-out', 'infra'].map((look) => `a.cell.${look}`).join(',');

/** True when the key was used up. Arrows scroll as ever while no cell has the focus. */
export function gridMove(event: KeyboardEvent): boolean {
  const table = document.querySelector<HTMLTableElement>('table.grid');
  if (!table) return false;
  const focused = document.activeElement?.closest<HTMLAnchorElement>('a.cell') ?? undefined;
  const move = moves[event.key];
  const target =
    event.key === 'n'
      ? nextUnwell(table, focused)
      : move && (focused || event.key.length === 1)
        ? neighbour(table, focused, move)
        : undefined;
  if (!target) return false;
  event.preventDefault();
  target.focus();
  target.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  return true;
}

function nextUnwell(table: HTMLTableElement, focused: Element | undefined): HTMLAnchorElement | undefined {
  const cells = [...table.querySelectorAll<HTMLAnchorElement>(unwell)];
  const later = cells.find((cell) => focused && focused.compareDocumentPosition(cell) & Node.DOCUMENT_POSITION_FOLLOWING);
  return later ?? cells[0];
}

/** The nearest cell in that direction that holds a build. */
function neighbour(
  table: HTMLTableElement,
  focused: HTMLAnchorElement | undefined,
  [rows, columns]: readonly [number, number],
): HTMLAnchorElement | undefined {
  const at = focused?.closest('td');
  const row = at?.closest('tr');
  if (!at || !row) return table.querySelector<HTMLAnchorElement>('a.cell') ?? undefined;
  for (let y = row.rowIndex + rows, x = at.cellIndex + columns; ; y += rows, x += columns) {
    const cell = table.rows[y]?.cells[x];
    if (!cell) return focused;
    const link = cell.querySelector<HTMLAnchorElement>('a.cell');
    if (link) return link;
  }
}
