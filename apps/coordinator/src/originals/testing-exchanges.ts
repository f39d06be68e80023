/**
 * What Go's `fetchlogs` and `retrybuilds` of 2017 say to a dashboard, and what it answers: recorded by `farm/src/record-originals.ts`
 * from the programs themselves, over the scene that is set here.
 */
import { parseBuilderName } from '@croft/domain/names';
import { go, openDashboardStage, revision, type DashboardStage } from './testing-stage.ts';

export { masterKey } from './testing-stage.ts';

export interface Exchange {
  readonly method: string;
  /** `KEY` stands for the key of the builder named beside it. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface Scene extends AsyncDisposable {
  readonly stage: DashboardStage;
  /** A key by the word that stands for it, and back. */
  hideKey(path: string): string;
  showKey(path: string): string;
}

export const dashboardName = 'build.golang.org';
export const exchangesDir = new URL('exchanges/', import.meta.url);

/** Two builders: a flake and genuine failures on the older commits, a pass and a failure on the newest. */
export async function openScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const stage = stack.use(await openDashboardStage({ publicNames: [dashboardName] }));
  const genuine = `${'ok\n'.repeat(25)}--- FAIL: TestSum\n`;
  const scene: [string, number, string | undefined][] = [
    ['plan9-386', 1, 'copying\nwriting\nwrite: No space left on device\n'],
    ['plan9-386', 2, genuine],
    ['plan9-386', 3, undefined],
    ['linux-arm', 2, 'exit status 2\n'],
    ['linux-arm', 3, `${genuine}<&>é\n`],
  ];
  for (const [builder, n, log] of scene) {
    const revisions = [{ repo: go, revision: revision(n) }];
    const said = { passed: log === undefined, log: log ?? 'all is well\n', runMs: 1_000 };
    await stage.farm.dashboard.report({ builder: parseBuilderName(builder), revisions, ...said });
  }
  const replaceKey = (path: string, from: (builder: string) => string, to: (builder: string) => string): string => {
    const builder = /[?&]builder=([^&]*)/.exec(path)?.[1] ?? '';
    return path.replace(`key=${from(builder)}`, `key=${to(builder)}`);
  };
  const word = (): string => 'KEY';
  const owned = stack.move();
  return {
    stage,
    hideKey: (path) => replaceKey(path, stage.keys.keyOf, word),
    showKey: (path) => replaceKey(path, word, stage.keys.keyOf),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
