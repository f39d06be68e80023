/** A small tree of files in a fresh directory, for tests of tools that read one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Calls `use` with the root of the tree, which is removed afterwards. */
export async function withTree<Result>(files: Readonly<Record<string, string>>, use: (root: string) => Promise<Result>): Promise<Result> {
  const root = mkdtempSync(join(tmpdir(), 'croft-tools-'));
  try {
    for (const [path, body] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), body);
    }
    return await use(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
