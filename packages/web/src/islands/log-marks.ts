/** Highlights what is searched for in the rows that are in the document, without changing them (CSS custom highlights). */

const maxMarks = 2000;

export function markMatches(box: HTMLElement, query: string): void {
  if (!('highlights' in CSS)) return;
  CSS.highlights.delete('found');
  if (query === '') return;
  const ranges: Range[] = [];
  for (const row of box.querySelectorAll('.row > span')) {
    if (ranges.length >= maxMarks) break;
    if (row.textContent.toLowerCase().includes(query)) ranges.push(...rangesIn(row, query));
  }
  CSS.highlights.set('found', new Highlight(...ranges));
}

/** A match may begin in one span and end in another. */
function rangesIn(row: Element, query: string): Range[] {
  const nodes = textNodes(row);
  const text = nodes
    .map(({ data }) => data)
    .join('')
    .toLowerCase();
  const found: Range[] = [];
  for (let at = text.indexOf(query); at >= 0 && found.length < 50; at = text.indexOf(query, at + query.length)) {
    const range = document.createRange();
    range.setStart(...position(nodes, at));
    range.setEnd(...position(nodes, at + query.length));
    found.push(range);
  }
  return found;
}

function textNodes(root: Element): Text[] {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const nodes: Text[] = [];
  while (walker.nextNode()) nodes.push(walker.currentNode as Text);
  return nodes;
}

function position(nodes: Text[], offset: number): [Text, number] {
  let left = offset;
  for (const node of nodes) {
    if (left <= node.data.length) return [node, left];
    left -= node.data.length;
  }
  const last = nodes.at(-1) as Text;
  return [last, last.data.length];
}
