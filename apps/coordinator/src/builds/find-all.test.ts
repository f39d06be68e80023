/**
 * No gap is left behind: whatever is pushed, merged, pushed over, deleted and made again between whatever looks, failures and kills,
 * what is queued is what a plain model says: of every look that succeeded, each builder's commits down to the depth.
 */
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Revision } from '@croft/domain/names';
import { runGit } from '@croft/forge/testing';
import { SECOND } from '@croft/runtime/clock';
import { listBuilds } from '@croft/store/build-lists';
import { app, openFinderStage, type FinderStage } from './testing-finder.ts';

const depth = 4;
const builders = [
  { name: 'all', branches: [], is: () => true },
  { name: 'main-only', branches: ['main'], is: (branch: string) => branch === 'main' },
  { name: 'code', branches: [], paths: ['src/**'], is: (_: string, changes: Changes) => changes.src },
];
const branchNames = ['main', 'topic/a', 'topic/b', 'topic/c', 'topic/left-out', 'other'];
const isBuilt = (branch: string): boolean => branch === 'main' || (branch.startsWith('topic/') && branch !== 'topic/left-out');

interface Changes {
  readonly src: boolean;
  readonly docs: boolean;
}

type Op =
  | { readonly kind: 'push'; readonly branch: string; readonly changes: readonly Changes[] }
  | { readonly kind: 'merge' | 'point'; readonly branch: string; readonly other: number }
  | { readonly kind: 'delete'; readonly branch: string }
  | { readonly kind: 'poll' | 'failed poll' | 'restart' | 'kill' }
  | { readonly kind: 'notify'; readonly branches: readonly string[] }
  | { readonly kind: 'failed write' | 'poll during'; readonly push: Op };

const branch = fc.constantFrom(...branchNames);
const changes = fc.record({ src: fc.boolean(), docs: fc.boolean() });
const push = fc.record({ kind: fc.constant('push' as const), branch, changes: fc.array(changes, { minLength: 1, maxLength: 6 }) });
const history = fc.oneof(
  { weight: 3, arbitrary: push },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('merge' as const, 'point' as const), branch, other: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), branch }) },
);
const look = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('poll' as const, 'failed poll' as const, 'restart' as const, 'kill' as const) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('notify' as const), branches: fc.array(branch, { maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('failed write' as const, 'poll during' as const), push: history }) },
);
const story: fc.Arbitrary<Op[]> = fc.array(fc.oneof({ weight: 3, arbitrary: history }, { weight: 2, arbitrary: look }), {
  minLength: 4,
  maxLength: 14,
});

test('whatever happens between looks, exactly the wanted builds are queued', { timeout: 110 * SECOND }, async () => {
  await fc.assert(
    fc.asyncProperty(story, async (ops) => {
      await using stage = await openFinderStage({
        branches: ['main', 'topic/*', '!topic/left-out'],
        depth,
        builders: builders.map(({ is: _, ...builder }) => builder),
      });
      const model = createModel(stage);
      await model.looked('everything');
      for (const op of ops) await model.apply(op);
      await model.apply({ kind: 'poll' });
      await model.check();
    }),
    { numRuns: 10, endOnFailure: true },
  );
});

interface Commit {
  readonly revision: Revision;
  readonly parents: readonly Commit[];
  readonly files: Record<keyof Changes, number>;
}

function createModel(stage: FinderStage) {
  const { repo } = stage;
  const first: Commit = { revision: repo.git('rev-parse', 'main') as Revision, parents: [], files: { src: 0, docs: 0 } };
  const commits = [first];
  const heads = new Map([['main', first]]);
  /** What must have been found, and what may have been. */
  const found = { least: new Set<string>(), most: new Set<string>() };

  const line = (tip: Commit | undefined, left = depth): Commit[] => (tip && left > 0 ? [tip, ...line(tip.parents[0], left - 1)] : []);
  const changesOf = ({ parents: [parent], files }: Commit): Changes => ({
    src: parent !== undefined && parent.files.src !== files.src,
    docs: parent !== undefined && parent.files.docs !== files.docs,
  });
  const wanted = (branches: Iterable<string>): string[] =>
    [...branches]
      .filter(isBuilt)
      .flatMap((name) =>
        line(heads.get(name)).flatMap((commit) =>
          builders.filter(({ is }) => is(name, changesOf(commit))).map((builder) => `${builder.name} ${commit.revision}`),
        ),
      );
  const add = (to: Set<string>, branches: Iterable<string> = heads.keys()): void => {
    for (const build of wanted(branches)) to.add(build);
  };

  const commit = (parents: readonly Commit[], changed: Changes): Commit => {
    const files = { ...(parents[0]?.files ?? first.files) };
    const names = (['src', 'docs'] as const).filter((name) => changed[name]);
    for (const name of names) files[name] += 1;
    const content = Object.fromEntries(names.map((name) => [`${name}/file`, `${files[name]}`]));
    const made = { revision: importCommit(repo.dir, { number: commits.length, parents, content }), parents, files };
    commits.push(made);
    return made;
  };
  const point = (name: string, to: Commit | undefined): void => {
    if (to) repo.git('update-ref', `refs/heads/${name}`, to.revision);
    else if (heads.has(name)) repo.git('update-ref', '-d', `refs/heads/${name}`);
    if (to) heads.set(name, to);
    else heads.delete(name);
  };

  const change = (op: Op): void => {
    if (!('branch' in op)) return;
    const here = heads.get(op.branch);
    if (op.kind === 'delete') point(op.branch, undefined);
    else if (op.kind === 'push')
      point(
        op.branch,
        op.changes.reduce<Commit>((tip, each) => commit([tip], each), here ?? first),
      );
    else {
      const other = commits[op.other % commits.length] ?? first;
      point(op.branch, op.kind === 'point' || !here ? other : commit([here, other], { src: true, docs: false }));
    }
  };

  /** A look at all of it as it is now. */
  const looked = async (what: 'everything' | 'perhaps'): Promise<void> => {
    add(found.most);
    const outcome = await stage.finder.find(app, {}).then(
      () => 'found',
      () => 'failed',
    );
    if (what === 'everything') assert.equal(outcome, 'found');
    if (outcome === 'found') add(found.least);
  };
  const restart = async (): Promise<void> => {
    await stage.restart();
    await looked('everything');
  };

  const looks: {
    readonly [Kind in Exclude<Op['kind'], 'push' | 'merge' | 'point' | 'delete'>]: (op: Op & { kind: Kind }) => Promise<void>;
  } = {
    poll: () => looked('everything'),
    restart,
    async 'failed poll'() {
      renameSync(repo.dir, `${repo.dir}.away`);
      await assert.rejects(stage.finder.find(app, {}));
      renameSync(`${repo.dir}.away`, repo.dir);
    },
    async kill() {
      const dying = looked('perhaps');
      await Promise.all([stage.restart(), dying]);
      await looked('everything');
    },
    async 'failed write'({ push: op }) {
      change(op);
      stage.failAfter(0);
      await looked('perhaps');
      stage.failAfter(Infinity);
      await looked('everything');
    },
    async notify({ branches }) {
      add(found.most);
      const stored = stage.stored();
      stage.finder.wake(app, branches);
      await stored;
      add(found.least, branches); // of the others perhaps something, too
    },
    async 'poll during'({ push: op }) {
      add(found.most);
      const under = stage.finder.find(app, {});
      change(op);
      add(found.most);
      await under;
    },
  };

  return {
    looked,
    async apply(op: Op): Promise<void> {
      if ('branch' in op) change(op);
      else await (looks[op.kind] as (op: Op) => Promise<void>)(op);
    },
    async check(): Promise<void> {
      const builds = await stage.db.read((sql) => listBuilds(sql, { repo: app, limit: 10_000 }));
      const queued = builds.map((build) => `${build.builder} ${build.revisions[0]?.revision}`);
      assert.equal(new Set(queued).size, queued.length, 'each once');
      assert.deepEqual(
        [...found.least].filter((build) => !queued.includes(build)),
        [],
        'none is missing',
      );
      assert.deepEqual(
        queued.filter((build) => !found.most.has(build)),
        [],
        'none is there without a reason',
      );
    },
  };
}

interface NewCommit {
  readonly number: number;
  readonly parents: readonly Commit[];
  readonly content: Readonly<Record<string, string>>;
}

function importCommit(dir: string, { number, parents: [parent, ...others], content }: NewCommit): Revision {
  const data = (text: string): string => `data ${text.length}\n${text}\n`;
  const stream = [
    `commit refs/scratch\nmark :1\ncommitter Croft <croft@localhost> ${1_700_000_000 + number} +0000\n${data(`${number}`)}`,
    `from ${parent?.revision}\n`,
    ...others.map(({ revision }) => `merge ${revision}\n`),
    ...Object.entries(content).map(([path, text]) => `M 100644 inline ${path}\n${data(text)}`),
    'get-mark :1\n',
  ];
  return runGit(dir, ['fast-import', '--quiet', '--force'], Buffer.from(stream.join(''))) as Revision;
}
