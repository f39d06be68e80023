/** A repository of 300 small files, as large as the projects that most builds are for, with as many commits as a row needs. */
import { join } from 'node:path';
import { runProgram } from './programs.ts';

export interface SampleRepository {
  /** A bare repository with the branch `main`. */
  readonly path: string;
  /** Makes commits on top of the last one made, each changing one file; the branch stays where it is. */
  addCommits(count: number): Promise<string[]>;
  /** The branch is at this commit from now on. */
  moveTo(revision: string): Promise<void>;
}

const files = 300;
const linesPerFile = 80;
const committer = 'Sample <sample@example.org>';

/** The branch is at its first commit. */
export async function createSampleRepository(dir: string, signal: AbortSignal): Promise<SampleRepository> {
  const path = join(dir, 'sample.git');
  const git = (args: readonly string[], input?: string): Promise<string> =>
    runProgram(['git', '-C', path, ...args], { signal, ...(input === undefined ? {} : { input }) });
  await runProgram(['git', 'init', '--quiet', '--bare', '--initial-branch=main', path], { signal });
  let made = 0;
  let last: string | undefined;

  const addCommits = async (count: number): Promise<string[]> => {
    const stream: string[] = [];
    for (let n = 0; n < count; n += 1, made += 1) {
      const message = `Change ${made}`;
      stream.push(`commit refs/heads/next\nmark :${n + 1}\ncommitter ${committer} ${1_700_000_000 + made} +0000\n`);
      stream.push(`data ${message.length}\n${message}\n`);
      if (n === 0 && last !== undefined) stream.push(`from ${last}\n`);
      const changed = made === 0 ? Array.from({ length: files }, (_, file) => file) : [made % files];
      for (const file of changed) {
        const content = fileContent(file, made);
        stream.push(`M 100644 inline src/part-${file % 20}/file-${file}.txt\ndata ${content.length}\n${content}\n`);
      }
      stream.push(`get-mark :${n + 1}\n`);
    }
    const revisions = (await git(['fast-import', '--quiet', '--force'], stream.join(''))).trim().split('\n');
    last = revisions.at(-1);
    return revisions;
  };

  const moveTo = async (revision: string): Promise<void> => {
    await git(['update-ref', 'refs/heads/main', revision]);
  };
  const [first = ''] = await addCommits(1);
  await moveTo(first);
  return { path, addCommits, moveTo };
}

function fileContent(file: number, version: number): string {
  const lines = Array.from(
    { length: linesPerFile },
    (_, line) => `line ${line} of file ${file}: ${(line * 7919 + file * 104_729).toString(36)}`,
  );
  return `version ${version}\n${lines.join('\n')}\n`;
}
