/**
 * Finds every place of many byte strings in one pass. Where nothing has begun, two bytes at the end of the shortest possible string
 * tell how far to jump (Wu and Manber); where something has, an Aho-Corasick automaton reads byte by byte.
 */
export interface FoundForms {
  /** Pairs of from and to, by where they end. */
  readonly ranges: number[];
  /** So many of the last bytes are the beginning of a string. */
  readonly pending: number;
}

export type Finder = (bytes: Uint8Array) => FoundForms;

/** None of them may be shorter than 3 bytes. */
export function createFinder(forms: readonly Uint8Array[]): Finder {
  const automaton = compile(forms);
  const jumps = compileJumps(forms);
  return (bytes) => find(bytes, automaton, jumps);
}

interface Automaton {
  /** Column of a byte; 0 for those in no string. */
  readonly columnOf: Uint8Array;
  readonly columns: number;
  /** Next state by state and column. A state is the index of its row: first the root and what is one byte deep, last those that end a string. */
  readonly next: Uint32Array;
  readonly firstDeep: number;
  readonly firstEnd: number;
  /** By number of the state: bytes of the longest string that ends here, and how many bytes of one have been seen. */
  readonly ends: Uint32Array;
  readonly depth: Uint32Array;
}

interface Jumps {
  /** Length of the shortest string. */
  readonly least: number;
  /** How far to go on by the two bytes that end a window of that length; 0: something may begin where the window does. */
  readonly by: Uint8Array;
  /** 1 for the two bytes that begin a string. */
  readonly begins: Uint8Array;
}

function find(bytes: Uint8Array, automaton: Automaton, { least, by, begins }: Jumps): FoundForms {
  const { columns, firstDeep, depth } = automaton;
  const ranges: number[] = [];
  const last = bytes.length - least;
  let state = 0;
  let at = 0;
  while (at <= last) {
    const jump = by[((bytes[at + least - 2] as number) << 8) | (bytes[at + least - 1] as number)] as number;
    if (jump > 0) at += jump;
    else if (begins[((bytes[at] as number) << 8) | (bytes[at + 1] as number)] === 0) at += 1;
    else {
      [at, state] = follow(bytes, at, automaton, { ranges, until: firstDeep });
      if (at === bytes.length) return { ranges, pending: depth[state / columns] as number };
      at -= depth[state / columns] as number;
    }
  }
  [at, state] = follow(bytes, at, automaton, { ranges, until: 0 });
  return { ranges, pending: depth[state / columns] as number };
}

/** Reads from the root until the state is before `until`, two bytes at least, or to the end. */
function follow(
  bytes: Uint8Array,
  from: number,
  { columnOf, columns, next, firstEnd, ends }: Automaton,
  { ranges, until }: { ranges: number[]; until: number },
): [at: number, state: number] {
  let state = 0;
  for (let at = from; at < bytes.length; at += 1) {
    state = next[state + (columnOf[bytes[at] as number] as number)] as number;
    if (state >= firstEnd) ranges.push(at + 1 - (ends[state / columns] as number), at + 1);
    else if (state < until && at > from) return [at + 1, state];
  }
  return [Math.max(from, bytes.length), state];
}

function compileJumps(forms: readonly Uint8Array[]): Jumps {
  const least = Math.min(255, ...forms.map((form) => form.length));
  const by = new Uint8Array(65_536).fill(least - 1);
  const begins = new Uint8Array(65_536);
  for (const form of forms) {
    begins[((form[0] as number) << 8) | (form[1] as number)] = 1;
    for (let end = 1; end < least; end += 1) {
      const pair = ((form[end - 1] as number) << 8) | (form[end] as number);
      by[pair] = Math.min(by[pair] as number, least - 1 - end);
    }
  }
  return { least, by, begins };
}

interface Trie {
  readonly edges: Map<number, number>[];
  /** Bytes of the string that ends there, or 0. */
  readonly ends: number[];
  readonly depth: number[];
}

function compile(forms: readonly Uint8Array[]): Automaton {
  const used = [...new Set(forms.flatMap((form) => [...form]))];
  const columnOf = new Uint8Array(256);
  const columns = Math.min(256, used.length + 1);
  used.forEach((byte, index) => (columnOf[byte] = (index + 1) % 256)); // with all 256 in use there is no other byte
  const trie = buildTrie(forms, columnOf);
  return arrange(link(trie, columns), { columnOf, columns, depth: trie.depth });
}

function buildTrie(forms: readonly Uint8Array[], columnOf: Uint8Array): Trie {
  const trie: Trie = { edges: [new Map()], ends: [0], depth: [0] };
  for (const form of forms) {
    let node = 0;
    for (const byte of form) {
      const column = columnOf[byte] as number;
      let to = trie.edges[node]?.get(column);
      if (to === undefined) {
        to = trie.edges.push(new Map()) - 1;
        trie.edges[node]?.set(column, to);
        trie.ends.push(0);
        trie.depth.push((trie.depth[node] as number) + 1);
      }
      node = to;
    }
    trie.ends[node] = form.length;
  }
  return trie;
}

interface Linked {
  /** Next node by node and column. */
  readonly table: Uint32Array;
  readonly ends: Uint32Array;
}

/** Breadth first: where a string does not go on, the longest ending that is a beginning does. */
function link({ edges, ends }: Trie, columns: number): Linked {
  const table = new Uint32Array(edges.length * columns);
  const longest = Uint32Array.from(ends);
  const behind = new Uint32Array(edges.length);
  const queue: number[] = [0];
  for (let at = 0; at < queue.length; at += 1) {
    const node = queue[at] as number;
    const fallen = behind[node] as number;
    if (longest[node] === 0) longest[node] = longest[fallen] as number;
    if (node !== 0) table.copyWithin(node * columns, fallen * columns, (fallen + 1) * columns);
    for (const [column, to] of edges[node] ?? []) {
      behind[to] = table[node * columns + column] as number;
      table[node * columns + column] = to;
      queue.push(to);
    }
  }
  return { table, ends: longest };
}

/** Puts the states in an order in which one comparison tells what they are. */
function arrange(
  { table, ends }: Linked,
  { columnOf, columns, depth }: { columnOf: Uint8Array; columns: number; depth: readonly number[] },
): Automaton {
  const rank = (node: number): number => (ends[node] !== 0 ? 2 : (depth[node] as number) > 1 ? 1 : 0);
  const order = Array.from(depth, (_, node) => node).toSorted((a, b) => rank(a) - rank(b));
  const rowOf = new Uint32Array(order.length);
  order.forEach((node, number) => (rowOf[node] = number * columns));
  const next = new Uint32Array(table.length);
  order.forEach((node, number) => {
    for (let column = 0; column < columns; column += 1)
      next[number * columns + column] = rowOf[table[node * columns + column] as number] as number;
  });
  const first = (of: number): number => order.filter((node) => rank(node) < of).length * columns;
  return {
    columnOf,
    columns,
    next,
    firstDeep: first(1),
    firstEnd: first(2),
    ends: Uint32Array.from(order, (node) => ends[node] as number),
    depth: Uint32Array.from(order, (node) => depth[node] as number),
  };
}
