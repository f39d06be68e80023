/**
 * Swaps a fragment by changing only what differs, so that focus, selection, scroll positions and running animations survive a
 * page that renews itself every second. Elements are matched by id, others by place; one with `data-keep` is left alone.
 */
import module from 'htmx.org';

interface Extensible {
  defineExtension(
    name: string,
    extension: { isInlineSwap(style: string): boolean; handleSwap(style: string, target: Node, fragment: Node): boolean | Element[] },
  ): void;
}

export function startMorph(): void {
  // htmx's own types leave its methods out.
  const htmx = module as unknown as Extensible;
  htmx.defineExtension('morph', {
    isInlineSwap: (style: string) => style === 'morph',
    handleSwap: (style: string, target: Node, fragment: Node) => {
      if (style !== 'morph') return false;
      const next = [...fragment.childNodes].find((node) => node instanceof Element);
      return target instanceof Element && next ? morph(target, next) : [];
    },
  });
}

/** Makes `from` what `to` is; `to` is used up. Returns the elements that are new in the document. */
function morph(from: Element, to: Element): Element[] {
  if (from.tagName !== to.tagName || from.id !== to.id) {
    from.replaceWith(to);
    return [to];
  }
  if (from.hasAttribute('data-keep')) return [];
  takeAttributes(from, to);
  return takeChildren(from, to);
}

function takeAttributes(from: Element, to: Element): void {
  for (const { name } of Array.from(from.attributes)) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
}

function takeChildren(from: Element, to: Element): Element[] {
  const added: Element[] = [];
  const byId = new Map([...from.children].filter(({ id }) => id !== '').map((child) => [child.id, child]));
  let at = from.firstChild;
  for (const next of Array.from(to.childNodes)) {
    const match = next instanceof Element && next.id !== '' ? byId.get(next.id) : at && alike(at, next) ? at : undefined;
    if (!match) {
      from.insertBefore(next, at);
      if (next instanceof Element) added.push(next);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else from.insertBefore(match, at);
    if (match instanceof Element && next instanceof Element) added.push(...morph(match, next));
    else if (match.nodeValue !== next.nodeValue) match.nodeValue = next.nodeValue;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
  return added;
}

function alike(a: Node, b: Node): boolean {
  if (a.nodeType !== b.nodeType) return false;
  return !(a instanceof Element && b instanceof Element) || (a.tagName === b.tagName && a.id === b.id);
}
