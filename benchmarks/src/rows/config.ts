/** How long a large configuration takes to load, as a program and as YAML, beside a bare process that evaluates the same program. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { readConfigFile } from '@croft/config/read-config';
import { SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Bench, Measurement, Row } from '../row.ts';

const builders = 500;
const repos = 20;
const rounds = 12;
const goalMs = 300;

export const config: Row = { name: 'config', about: `a configuration of ${builders} builders, written out`, run };

async function run(bench: Bench): Promise<Measurement[]> {
  const written = JSON.stringify(largeConfig(), undefined, 2);
  const files = {
    'TypeScript, evaluated in a process of its own': await write(
      bench,
      'croft.config.ts',
      `import { defineConfig } from '@croft/config/define-config';\n\nexport default defineConfig(${written});\n`,
    ),
    YAML: await write(bench, 'croft.yaml', toYaml(largeConfig())),
    JSON: await write(bench, 'croft.json', written),
  };
  const module = await write(bench, 'bare.ts', `export default ${written};\n`);
  const samples = new Map<string, number[]>();
  const bare: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    bench.progress(`load ${round + 1} of ${rounds + 1}`);
    for (const [what, path] of Object.entries(files)) {
      const elapsedMs = await timed(bench, () => load(path, bench));
      if (round > 0) samples.set(what, [...(samples.get(what) ?? []), elapsedMs]);
    }
    const elapsedMs = await timed(bench, () => evaluate(module, bench));
    if (round > 0) bare.push(elapsedMs);
  }
  const peer = { what: 'bare Node process, the same module', samples: bare };
  return [...samples].map(([what, all]): Measurement => ({ what, unit: 'ms', samples: all, goal: goalMs, peer }));
}

async function timed({ clock }: Bench, act: () => Promise<unknown>): Promise<number> {
  const startedAt = clock.monotonic();
  await act();
  return clock.monotonic() - startedAt;
}

async function load(path: string, { signal }: Bench): Promise<void> {
  const loaded = await readConfigFile(path, { signal });
  if (loaded.builders.length !== builders) throw new CroftError('internal', `${path} has ${loaded.builders.length} builders`);
}

async function evaluate(path: string, { signal }: Bench): Promise<void> {
  const program = 'process.stdout.write(JSON.stringify((await import(process.argv[1])).default))';
  const args = ['--input-type=module', '--eval', program, path];
  const { stdout } = await promisify(execFile)(process.execPath, args, { signal, timeout: 10 * SECOND, maxBuffer: 2 ** 26 });
  if (!stdout.endsWith('}')) throw new CroftError('internal', 'the bare process told nothing');
}

async function write({ dir }: Bench, name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text);
  return path;
}

function largeConfig(): ConfigInput {
  const name = (what: string, n: number): string => `${what}-${String(n).padStart(3, '0')}`;
  return {
    dataDir: 'data',
    repos: Array.from({ length: repos }, (_, n) => ({
      name: name('repo', n),
      url: `https://git.example.com/${n}.git`,
      branches: ['main'],
    })),
    secrets: [{ name: 'token', env: 'TOKEN' }],
    pools: [{ kind: 'local', size: 8 }],
    policies: [{ allow: false, paths: 'docs/**', why: 'only words have changed' }],
    builders: Array.from({ length: builders }, (_, n) => ({
      name: name('builder', n),
      repo: name('repo', n % repos),
      env: { NUMBER: String(n), LANG: 'C.UTF-8' },
      secrets: { TOKEN: 'token' },
      branches: ['main', '!old/*'],
      steps: [
        { name: 'install', role: 'setup' as const, argv: ['npm', 'ci'], limitMs: '10m' },
        { name: 'test', role: 'run-tests' as const, argv: ['npm', 'test', '--', String(n)], limitMs: '20m' },
      ],
      retention: { logAgeMs: '60d', logBytes: '5GB' },
    })),
  };
}

/** Block style for groups and lists, as people write it; values as JSON, which YAML includes. */
function toYaml(value: unknown, indent = ''): string {
  if (value === null || typeof value !== 'object') return `${JSON.stringify(value)}\n`;
  const entries = Array.isArray(value)
    ? value.map((one): [string, unknown] => ['-', one])
    : Object.entries(value).map(([key, one]) => [`${key}:`, one]);
  const lines = entries.map(([head, one]) => {
    const nested = one !== null && typeof one === 'object';
    return `${indent}${head as string}${nested ? '\n' : ' '}${toYaml(one, `${indent}  `)}`;
  });
  return lines.join('');
}
