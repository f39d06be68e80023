/** `gomote push` of a large tree, as the process that people start: the first time, with ten changed files, and with none. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SECOND } from '@croft/runtime/clock';
import { startFarm } from '../farm-process.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

export const push: Row = { name: 'push', about: '`gomote push` of 20,000 files: at first, with 10 changed, with none', run };

const directories = 200;
const filesEach = 100;
const changes = 10;
const rounds = 8;
const goalMs = SECOND;
const gomoteMain = fileURLToPath(new URL('../../../apps/gomote/src/main.ts', import.meta.url));
/** What changed just now is not remembered: a file system counts time in steps. */
const settleMs = 3 * SECOND;

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, clock, signal, progress } = bench;
  const repo = await createSampleRepository(dir, signal);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['true'] }, bench);
  const tree = join(dir, 'tree');
  await makeTree(tree, signal);
  const env = { HOME: dir, CROFT_SERVER: farm.url };
  const gomote = (...args: string[]): Promise<string> =>
    runProgram([process.execPath, '--disable-warning=ExperimentalWarning', gomoteMain, ...args], { signal, env });
  const timed = async (...args: string[]): Promise<number> => {
    const startedAt = clock.monotonic();
    await gomote(...args);
    return clock.monotonic() - startedAt;
  };
  const name = (await gomote('create', 'bench')).trim();
  await clock.sleep(settleMs, { signal });
  progress('first push');
  const first = await timed('push', name, tree);
  await clock.sleep(settleMs, { signal });
  await gomote('push', name, tree);
  const [changed, same]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    progress(`push ${round + 1} of ${rounds}`);
    for (let n = 0; n < changes; n += 1) await writeFile(join(tree, `d${n * 7}`, `f${round}.txt`), `changed ${round}\n`);
    changed.push(await timed('push', name, tree));
    same.push(await timed('push', name, tree));
  }
  const bare: number[] = [];
  for (let round = 0; round < rounds; round += 1) bare.push(await timed('--help'));
  return [
    { what: '10 of 20,000 files changed', unit: 'ms', samples: changed, goal: goalMs, peer: { what: 'gomote --help', samples: bare } },
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
