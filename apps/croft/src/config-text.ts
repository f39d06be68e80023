/** A configuration that builds one repository, as text that says why each setting is there: a program, or YAML. */
import type { Step } from '@croft/domain/job';
import { MINUTE } from '@croft/runtime/clock';

interface Plan {
  readonly steps: readonly Step[];
  readonly reason: string;
}

export interface Proposal {
  readonly repo: string;
  /** Undefined when HEAD is on no branch. */
  readonly branch: string | undefined;
  /** Where everybody's commits are, to be shown: without credentials. */
  readonly origin: string | undefined;
  /** Those that were found and why, or why there are none. */
  readonly found: Plan | string;
  /** What was found too, and comes after it. */
  readonly others: readonly Plan[];
}

export function programText(proposal: Proposal): string {
  const { repo, branch } = proposal;
  const lines = [
    ...headLines.map((line) => `// ${line}`),
    "import { defineConfig } from '@croft/config/define-config';",
    '',
    'export default defineConfig({',
    ...dataLines.map((line) => `  // ${line}`),
    "  dataDir: '.croft',",
    '  repos: [',
    '    {',
    `      name: ${literal(repo)},`,
    ...urlLines(proposal).map((line) => `      // ${line}`),
    "      url: '.',",
    ...branchLines.map((line) => `      // ${line}`),
    `      branches: [${branch === undefined ? '' : literal(branch)}],`,
    '    },',
    '  ],',
    ...poolLines.map((line) => `  // ${line}`),
    "  pools: [{ kind: 'local', size: 1 }],",
    '  builders: [',
    '    {',
    "      name: 'ci',",
    `      repo: ${literal(repo)},`,
    ...stepLines(proposal).map((line) => `      // ${line}`),
    ...(typeof proposal.found === 'string'
      ? ["      steps: 'detect',"]
      : ['      steps: [', ...proposal.found.steps.map(programStep), '      ],']),
    '    },',
    '  ],',
    '});',
  ];
  return `${lines.join('\n')}\n`;
}

export function yamlText(proposal: Proposal): string {
  const { repo, branch, found } = proposal;
  const lines = [
    ...[...headLines, ...dataLines].map((line) => `# ${line}`),
    'dataDir: .croft',
    'repos:',
    `  - name: ${JSON.stringify(repo)}`,
    ...urlLines(proposal).map((line) => `    # ${line}`),
    '    url: .',
    ...branchLines.map((line) => `    # ${line}`),
    `    branches: [${branch === undefined ? '' : JSON.stringify(branch)}]`,
    ...poolLines.map((line) => `# ${line}`),
    'pools:',
    '  - { kind: local, size: 1 }',
    'builders:',
    '  - name: ci',
    `    repo: ${JSON.stringify(repo)}`,
    ...stepLines(proposal).map((line) => `    # ${line}`),
    ...(typeof found === 'string' ? ['    steps: detect'] : ['    steps:', ...found.steps.map(yamlStep)]),
  ];
  return `${lines.join('\n')}\n`;
}

const headLines = [
  'What a Croft farm builds of this repository, and how. What may be written: docs/using/configuration.md of Croft.',
  'Look at it with "croft config check"; try the builder on your working tree with "croft run --local ci".',
];
const dataLines = ['Database, logs and work directories, relative to this file. Keep it out of version control.'];
const branchLines = ['Patterns, like release/*; none: the branch that HEAD is on.'];
const poolLines = ['How many builds at once. They are processes on this machine and run as you: build only code that you trust.'];

function urlLines({ origin }: Proposal): string[] {
  const here = 'What is fetched: this clone, so what is committed here is built.';
  return origin === undefined ? [here] : [here, `For what everybody pushes: ${oneLine(origin)}`];
}

function stepLines({ found, others }: Proposal): string[] {
  if (typeof found === 'string')
    return [oneLine(found), 'Until there is something, commits are skipped. Give steps here, or add an executable .ci/run.'];
  return [
    `Found in the working tree: ${oneLine(found.reason)}.`,
    '"detect" instead of the list looks into the tree of each commit.',
    ...others.flatMap(({ steps, reason }) => [
      `Found too, and not run: ${oneLine(reason)}. A builder of its own would run:`,
      ...steps.map(({ argv }) => `  ${oneLine(argv.join(' '))}`),
    ]),
  ];
}

function programStep({ name, role, argv, env, dir, limitMs }: Step): string {
  const parts = [
    `name: ${literal(name)}`,
    `role: ${literal(role)}`,
    `argv: [${argv.map(literal).join(', ')}]`,
    ...(Object.keys(env).length === 0
      ? []
      : [
          `env: { ${Object.entries(env)
            .map(([key, value]) => `${key}: ${literal(value)}`)
            .join(', ')} }`,
        ]),
    ...(dir === '.' ? [] : [`dir: ${literal(dir)}`]),
    `limitMs: ${literal(minutes(limitMs))}`,
  ];
  return `        { ${parts.join(', ')} },`;
}

/** JSON is YAML. */
function yamlStep({ name, role, argv, env, dir, limitMs }: Step): string {
  const more = { ...(Object.keys(env).length === 0 ? {} : { env }), ...(dir === '.' ? {} : { dir }) };
  return `      - ${JSON.stringify({ name, role, argv, ...more, limitMs: minutes(limitMs) })}`;
}

function minutes(ms: number): string {
  return `${ms / MINUTE}m`;
}

/** As people write it in a program. */
function literal(text: string): string {
  return /^[^'\\\p{C}\u2028\u2029]*$/u.test(text) ? `'${text}'` : JSON.stringify(text);
}

/** A comment ends with its line. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{C}\u2028\u2029]+/gu, ' ');
}
