/**
 * `gomote push` of a large tree, as the process that people start: with ten changed files, with none, and the first time. By turns as one file,
 * which they get from the farm, and from the sources.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SECOND } from '@croft/runtime/clock';
import { startFarm } from '../farm-process.ts';
import { runProgram } from '../programs.ts';
import { installGomote, type Gomote } from '../installed-gomote.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

export const push: Row = { name: 'push', about: '`gomote push` of 20,000 files: at first, with 10 changed, with none', run };

const directories = 200;
const filesEach = 100;
const changes = 10;
const rounds = 8;
const goalMs = SECOND;
/** What changed just now is not remembered: a file system counts time in steps. */
const settleMs = 3 * SECOND;

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, clock, signal, progress } = bench;
  const repo = await createSampleRepository(dir, signal);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['true'] }, bench);
  const tree = join(dir, 'tree');
  await makeTree(tree, signal);
  const { installed, fromSources } = await installGomote(farm, bench);
  const timed = async (gomote: Gomote, ...args: string[]): Promise<number> => {
    const startedAt = clock.monotonic();
    await gomote(...args);
    return clock.monotonic() - startedAt;
  };
  const name = (await installed('create', 'bench')).trim();
  await clock.sleep(settleMs, { signal });
  progress('first push');
  const first = await timed(installed, 'push', name, tree);
  await clock.sleep(settleMs, { signal });
  await installed('push', name, tree);
  const [changed, same, clone, bare]: [number[], number[], number[], number[]] = [[], [], [], []];
  const change = async (what: string): Promise<void> => {
    for (let n = 0; n < changes; n += 1) await writeFile(join(tree, `d${n * 7}`, `f${n}.txt`), `changed ${what}\n`);
  };
  for (let round = 0; round < rounds; round += 1) {
    progress(`push ${round + 1} of ${rounds}`);
    await change(`in round ${round}`);
    changed.push(await timed(installed, 'push', name, tree));
    same.push(await timed(installed, 'push', name, tree));
    await change(`again in round ${round}`);
    clone.push(await timed(fromSources, 'push', name, tree));
    bare.push(await timed(installed, '--help'));
  }
  return [
    { what: '10 of 20,000 files changed', unit: 'ms', samples: changed, goal: goalMs, peer: { what: 'gomote --help', samples: bare } },
    { what: '10 changed, gomote from the sources', unit: 'ms', samples: clone },
    { what: 'nothing changed', unit: 'ms', samples: same },
    { what: 'the first time', unit: 'ms', samples: [first] },
  ];
}

async function makeTree(root: string, signal: AbortSignal): Promise<void> {
  for (let n = 0; n < directories; n += 1) {
    const dir = join(root, `d${n}`);
    await mkdir(dir, { recursive: true });
    const files = Array.from({ length: filesEach }, (_, file) => file);
    await Promise.all(files.map((file) => writeFile(join(dir, `f${file}.txt`), `line of file ${n} ${file}\n`.repeat(40))));
  }
  await writeFile(join(root, '.gitignore'), '*.log\nnode_modules/\n');
  await runProgram(['git', 'init', '--quiet', root], { signal });
  await runProgram(['git', '-C', root, 'add', '--all'], { signal });
}
