/** What the checks need of a Markdown page: links, headings as anchors, words in backticks, code fences; each with its line. */
export interface Page {
  readonly links: readonly { readonly target: string; readonly line: number }[];
  /** As GitHub makes them from headings, and from explicit ids. */
  readonly anchors: ReadonlySet<string>;
  readonly words: readonly { readonly text: string; readonly line: number }[];
  readonly fences: readonly Fence[];
}

interface Fence {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

export function parseMarkdown(source: string): Page {
  const { prose, fences } = splitFences(source.split('\n'));
  const words = prose.flatMap(({ text, line }) =>
    [...text.matchAll(/(?<!`)`([^`]+)`(?!`)/g)].map(([, word = '']) => ({ text: word, line })),
  );
  const plain = prose.map(({ text, line }) => ({ text: text.replaceAll(/(`+)[^`]+\1/g, ''), line }));
  const links = plain.flatMap(({ text, line }) =>
    [...text.matchAll(/\]\(\s*<?([^)\s>]+)|^\s*\[[^\]]+\]:\s*(\S+)|\b(?:href|src)="([^"]+)"/g)].map(([, inline, reference, html]) => ({
      target: inline ?? reference ?? html ?? '',
      line,
    })),
  );
  return { links, words, fences, anchors: anchorsOf(prose.map(({ text }) => text)) };
}

function splitFences(lines: readonly string[]): { prose: { text: string; line: number }[]; fences: Fence[] } {
  const prose: { text: string; line: number }[] = [];
  const fences: Fence[] = [];
  let open: { mark: string; language: string; line: number; body: string[] } | undefined;
  for (const [index, text] of lines.entries()) {
    const fence = /^\s*(```+|~~~+)\s*([\w-]*)/.exec(text);
    if (open && fence?.[1]?.startsWith(open.mark) && fence[2] === '') {
      fences.push({ language: open.language, text: open.body.join('\n'), line: open.line });
      open = undefined;
    } else if (open) open.body.push(text);
    else if (fence) open = { mark: fence[1] ?? '', language: fence[2] ?? '', line: index + 1, body: [] };
    else prose.push({ text, line: index + 1 });
  }
  return { prose, fences };
}

function anchorsOf(lines: readonly string[]): Set<string> {
  const anchors = new Set<string>();
  for (const line of lines) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading !== undefined) {
      const slug = slugOf(heading);
      let name = slug;
      for (let again = 1; anchors.has(name); again += 1) name = `${slug}-${again}`;
      anchors.add(name);
    }
    for (const [, id = ''] of line.matchAll(/\b(?:id|name)="([^"]+)"/g)) anchors.add(id);
  }
  return anchors;
}

function slugOf(heading: string): string {
  const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  return text.replaceAll(/[^\p{Letter}\p{Number}\p{Mark}_\- ]/gu, '').replaceAll(' ', '-');
}
