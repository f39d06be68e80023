/**
 * Looks at TypeScript without a parser: `maskSource` blanks comments and what strings, templates and regular expressions hold,
 * position by position, so that a plain search over the rest finds code only.
 */
const tokens = /\/\/.*|\/\*[\s\S]*?(?:\*\/|$)|'(?:\\[\s\S]|[^'\\\n])*'?|"(?:\\[\s\S]|[^"\\\n])*"?|[`{}/]/g;
const templatePart = /(?:\\[\s\S]|\$(?!\{)|[^`\\$])*/y;
const regExp = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\//y;
/** A slash after one of these begins a regular expression; after anything else it divides. */
const beforeRegExp = /(?:^|[([{,;=:!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of|do|else|void|throw|new|delete|await|yield))\s*$/;

/** @returns the source, equally long, quotes kept and text replaced by spaces */
export function maskSource(source: string): string {
  let masked = '';
  for (const { from, to } of textSpans(source)) {
    masked += source.slice(masked.length, from) + source.slice(from, to).replaceAll(/[^\n]/g, ' ');
  }
  return masked + source.slice(masked.length);
}

/** Where each comment begins and ends. */
export function commentsOf(source: string): Span[] {
  return textSpans(source).filter(({ comment }) => comment);
}

export interface Span {
  readonly from: number;
  readonly to: number;
  readonly comment: boolean;
}

export interface ImportFound {
  readonly specifier: string;
  readonly line: number;
}

/** Every specifier of an import, a re-export or a dynamic import with a literal. */
export function importsOf(source: string): ImportFound[] {
  return [...maskSource(source).matchAll(/\b(?:from|import)\s*\(?\s*(?:' *'|" *")/g)].map((found) => {
    const text = source.slice(found.index, found.index + found[0].length);
    return { specifier: text.slice(text.search(/['"]/) + 1, -1), line: lineAt(source, found.index + text.length) };
  });
}

export function lineAt(source: string, index: number): number {
  return source.slice(0, index).split('\n').length;
}

/** Everything that is text and not code, in order. */
function textSpans(source: string): Span[] {
  const spans: Span[] = [];
  const add = (from: number, to: number, comment = false): void => void spans.push({ from, to: Math.max(from, to), comment });
  /** The depth of braces at which each open template goes on. */
  const templates: number[] = [];
  let depth = 0;
  let found: RegExpExecArray | null;
  tokens.lastIndex = 0;
  while ((found = tokens.exec(source))) {
    const start = found.index;
    const end = start + found[0].length;
    const resumes = found[0] === '}' && templates.at(-1) === depth - 1;
    if (found[0] === '{') depth += 1;
    if (found[0] === '}') depth -= 1;
    if (resumes) templates.pop();
    if (found[0] === '`' || resumes) {
      const partEnd = matchEnd(templatePart, source, end);
      const opensCode = source.startsWith('${', partEnd);
      if (opensCode) templates.push(depth++);
      add(end, partEnd);
      tokens.lastIndex = partEnd + (opensCode ? 2 : 1);
    } else if (found[0] === '/' && beforeRegExp.test(source.slice(Math.max(0, start - 40), start))) {
      tokens.lastIndex = matchEnd(regExp, source, start) || end;
      add(end, tokens.lastIndex - 1);
    } else if (/^['"]/.test(found[0])) add(start + 1, end - 1);
    else if (/^\/[/*]/.test(found[0])) add(start, end, true);
  }
  return spans;
}

function matchEnd(pattern: RegExp, source: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(source) ? pattern.lastIndex : 0;
}
