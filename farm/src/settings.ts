/** What is farmed: this repository, the one named with `--repo`, or the sample of `npm run dev`. Defaults that fit a laptop of two cores. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import { parseRepositoryUrl, suggestedName } from '@croft/forge/repository-url';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError, errorText } from '@croft/runtime/errors';
import { sampleBuilders, sampleName } from './sample-project.ts';

export interface FarmSettings {
  readonly config: ConfigInput;
  /** True when the farmed repository is another one than Croft's own. */
  readonly foreign: boolean;
  /** For whoever works on Croft: SIGTERM, which `node --watch` sends before a restart, leaves what runs running. */
  readonly dev: boolean;
  /** The sample repository, to be made where it is not there. */
  readonly sample: string | undefined;
}

export const usage = `Usage: npm start -- [options]
  --repo PATH_OR_URL   farm another repository; what to run is found in its tree
  --branch NAME        the branch to build, by default the one its HEAD is on;
                       may be repeated
  --depth N            how many of the newest commits are built (default 5)
  --at-once N          how many builds at once (default 1)
  --lend N             how many machines more there are to borrow (default 1)
  --port N             port on 127.0.0.1 (default 8119; 0 takes a free one)
  --data-dir PATH      where everything is kept, by default below .croft of this
                       clone, a directory for each repository
  --database URL       postgres://… instead of the SQLite file
  --dev                what npm run dev gives: SIGTERM detaches, and without
                       --repo a sample is farmed`;

const options = {
  repo: { type: 'string' },
  branch: { type: 'string', multiple: true },
  depth: { type: 'string', default: '5' },
  'at-once': { type: 'string', default: '1' },
  lend: { type: 'string', default: '1' },
  port: { type: 'string', default: '8119' },
  'data-dir': { type: 'string' },
  database: { type: 'string' },
  dev: { type: 'boolean', default: false },
  help: { type: 'boolean' },
} as const;

/** @throws CroftError `invalid` for options it does not know; undefined when help was asked for. */
export function readSettings(args: readonly string[], root: string): FarmSettings | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const { repo, dev } = values;
  const isSample = dev && repo === undefined;
  const place = (name: string): string => values['data-dir'] ?? join(root, '.croft', name);
  const sample = isSample ? join(place('dev'), 'sample', `${sampleName}.git`) : undefined;
  const { url, name, dataName } = farmed(repo, { root, sample });
  const dataDir = place(dataName);
  return {
    foreign: repo !== undefined,
    dev,
    sample,
    config: {
      dataDir,
      ...(values.database === undefined ? {} : { databaseUrl: values.database }),
      port: wholeNumber('--port', values.port),
      logFile: join(dataDir, 'farm.log'),
      repos: [{ name, url, depth: wholeNumber('--depth', values.depth), branches: values.branch ?? [], pollMs: 5 * SECOND }],
      builders: isSample ? sampleBuilders : repo === undefined ? ownBuilders(name) : [{ name: 'ci', repo: name, steps: 'detect' }],
      pools: [{ kind: 'local', size: wholeNumber('--at-once', values['at-once']), forSessions: wholeNumber('--lend', values.lend) }],
    },
  };
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof options }>>['values'] {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    throw new CroftError('invalid', errorText(error), { hint: usage });
  }
}

/** Its name on pages, and that of its data: two repositories of one name are still two. */
function farmed(
  repo: string | undefined,
  { root, sample }: { root: string; sample: string | undefined },
): { url: string; name: string; dataName: string } {
  if (sample !== undefined) return { url: sample, name: sampleName, dataName: 'dev' };
  if (repo === undefined) return { url: root, name: 'croft', dataName: 'croft' };
  const url = addressOf(repo);
  const parsed = parseRepositoryUrl(url);
  const name = suggestedName(parsed);
  return { url, name, dataName: `${name}-${sha256Hex(parsed.text).slice(0, 8)}` };
}

/** @throws CroftError `invalid` for an address that git is never given, and for a path where nothing is. */
function addressOf(repo: string): string {
  const url = parseRepositoryUrl(repo);
  if (url.kind === 'remote') return repo;
  if (existsSync(url.text)) return url.text;
  throw new CroftError('invalid', `--repo ${repo}: there is nothing at ${url.text}`, {
    hint: 'Give the path of a git repository, or an address that git can fetch from.',
  });
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new CroftError('invalid', `${option} ${text} is not a whole number`, { hint: usage });
  return Number(text);
}

function ownBuilders(repo: string): NonNullable<ConfigInput['builders']> {
  const install = { name: 'install', role: 'setup' as const, argv: ['node', 'tools/bootstrap.mjs'], limitMs: 10 * MINUTE };
  return [
    { name: 'checks', repo, steps: [install, { name: 'check', role: 'run-tests', argv: ['npm', 'run', 'check'], limitMs: 15 * MINUTE }] },
    { name: 'unit', repo, steps: [install, { name: 'unit', role: 'run-tests', argv: ['npm', 'run', 'unit'], limitMs: 20 * MINUTE }] },
  ];
}
