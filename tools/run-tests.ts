/**
 * Runs the test suites: `run-tests.ts all|unit|interop|e2e [PATH …] [-- NODE_OPTION …]`. A path is any part of a file's name; options go to
 * Node as they are (`-- --test-name-pattern=lease`). Exits 1 on any failure, 2 on bad use; its last line is the plain counts.
 */
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { runTestFile } from './test-file.ts';
import { closingText, fileLine } from './test-report.ts';
import type { FileResult } from './test-result.ts';

interface Suite {
  readonly holds: (file: string) => boolean;
  /** How many files run at once. */
  readonly concurrency: number;
  /** Of each test, ms. */
  readonly timeoutMs: number;
}

const isE2e = (file: string): boolean => file.endsWith('.e2e.test.ts');
const isInterop = (file: string): boolean => file.endsWith('.interop.test.ts');
const unit: Suite = { holds: (file) => !isE2e(file) && !isInterop(file), concurrency: 3, timeoutMs: 120_000 };
/** The first of them builds Go's programs; most of their time they wait for heartbeats and refusals. */
const interop: Suite = { holds: isInterop, concurrency: 3, timeoutMs: 600_000 };
/** Half of its time a story waits for a farm to start, to notice or to stop. */
const e2e: Suite = { holds: isE2e, concurrency: 2, timeoutMs: 600_000 };
const suitesByName: Readonly<Record<string, readonly Suite[]>> = {
  all: [interop, unit, e2e], // some of the others use the programs of Go that the first builds
  unit: [unit],
  interop: [interop],
  e2e: [e2e],
};

const testFiles = '{packages,apps,farm,tools,benchmarks}/**/*.test.ts';
const lingerMs = 20_000;
const tellAfterMs = 30_000;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const [name = '', ...rest] = args;
  const suites = suitesByName[name];
  if (!suites) {
    process.stderr.write('use: node tools/run-tests.ts all|unit|interop|e2e [PART_OF_A_FILE_NAME …] [-- NODE_OPTION …]\n');
    return 2;
  }
  const cut = rest.includes('--') ? rest.indexOf('--') : rest.length;
  const results = await runSuites(suites, { parts: rest.slice(0, cut), nodeOptions: rest.slice(cut + 1) });
  if (results.length === 0) process.stdout.write(`no test file of "${name}" matches ${rest.slice(0, cut).join(' ') || testFiles}\n`);
  process.stdout.write(`${closingText(results)}\n`);
  const tests = results.reduce((sum, { passed, failures, skips }) => sum + passed + failures.length + skips.length, 0);
  return tests === 0 || results.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

async function runSuites(
  suites: readonly Suite[],
  asked: { parts: readonly string[]; nodeOptions: readonly string[] },
): Promise<FileResult[]> {
  const files = findFiles(process.cwd(), asked.parts);
  const scratchDir = mkdtempSync(join(tmpdir(), 'croft-tests-'));
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const progress = showProgress(files.filter((file) => suites.some((suite) => suite.holds(file))).length);
  try {
    const common = { root: process.cwd(), scratchDir, lingerMs, nodeOptions: asked.nodeOptions, signal: interrupted.signal };
    const results: FileResult[] = [];
    for (const suite of suites) {
      const queue = files.filter(suite.holds);
      const worker = async (): Promise<void> => {
        for (let file = queue.shift(); file !== undefined && !interrupted.signal.aborted; file = queue.shift()) {
          progress.started(file);
          const result = await runTestFile(file, { ...common, timeoutMs: suite.timeoutMs });
          results.push(result);
          progress.ended(result);
        }
      };
      await Promise.all(Array.from({ length: suite.concurrency }, worker));
    }
    return results.toSorted((a, b) => a.file.localeCompare(b.file));
  } finally {
    progress.stop();
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
    rmSync(scratchDir, { recursive: true, force: true });
  }
}

function findFiles(root: string, parts: readonly string[]): string[] {
  const found = globSync(testFiles, { cwd: root, exclude: (path) => path.endsWith('node_modules') });
  const files = found.map((file) => file.replaceAll(sep, '/')).toSorted();
  return parts.length === 0 ? files : files.filter((file) => parts.some((part) => file.includes(part)));
}

/** A line for each file that ended. On a terminal also what runs now; elsewhere a file that takes long is named. */
function showProgress(total: number): { started(file: string): void; ended(result: FileResult): void; stop(): void } {
  const running = new Map<string, number>();
  const terminal = process.stdout.isTTY;
  let done = 0;
  const clear = (): void => void (terminal && process.stdout.write('\r\u001b[K'));
  const status = (): void => {
    if (terminal && running.size > 0)
      process.stdout.write(`\r\u001b[K[${done}/${total}] ${[...running.keys()].join(', ')}`.slice(0, process.stdout.columns + 4));
  };
  const tellSlow = (): void => {
    for (const [file, startedAt] of running) {
      const ranMs = performance.now() - startedAt;
      if (!terminal && ranMs > tellAfterMs) process.stdout.write(`     … ${file} has been running for ${Math.round(ranMs / 1_000)} s\n`);
    }
  };
  const ticker = setInterval(tellSlow, tellAfterMs);
  return {
    started(file) {
      running.set(file, performance.now());
      status();
    },
    ended(result) {
      running.delete(result.file);
      done += 1;
      clear();
      process.stdout.write(`${fileLine(result)}\n`);
      status();
    },
    stop() {
      clearInterval(ticker);
      clear();
    },
  };
}
