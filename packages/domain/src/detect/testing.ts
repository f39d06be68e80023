/** A tree of a commit as a detector sees it. */
import type { Tree } from './detector.ts';

/** Texts by path; a star at the end of a path makes the file executable. */
export type TestFiles = Readonly<Record<string, string>>;

export interface TestTree extends Tree {
  readonly texts: TestFiles;
}

export function testTree(files: TestFiles, modes: Readonly<Record<string, string>> = {}): TestTree {
  const texts = Object.fromEntries(Object.entries(files).map(([path, text]) => [path.replace(/\*$/, ''), text]));
  return {
    texts,
    paths: () => Object.keys(texts),
    mode: (path) => (Object.hasOwn(texts, path) ? (modes[path] ?? (`${path}*` in files ? '100755' : '100644')) : undefined),
    read: async (path) => (Object.hasOwn(texts, path) ? texts[path] : undefined),
  };
}
