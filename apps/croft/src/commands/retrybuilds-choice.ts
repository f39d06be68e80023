/** Which failures are meant (coordinator.md RET-2, RET-3): one choice, by precedence, from the page of failures read once. */
import { CroftError } from '@croft/runtime/errors';
import type { Failure, FarmOfResults } from './retrybuilds-farm.ts';
import { flakyRuleOf } from './retrybuilds-flaky.ts';
import type { FlakyRule } from './retrybuilds-rules.ts';

export interface ActionOptions {
  readonly loghash?: string;
  readonly substr?: string;
  readonly redoFlaky?: boolean;
  readonly builder?: string;
  readonly hash?: string;
}

export type RetryAction =
  | { readonly kind: 'loghash'; readonly prefix: string }
  | { readonly kind: 'substr'; readonly text: string; readonly builder: string | undefined }
  | { readonly kind: 'flaky'; readonly builder: string | undefined }
  | { readonly kind: 'builder'; readonly builder: string }
  | { readonly kind: 'build'; readonly builder: string; readonly hash: string };

export interface Chosen extends Failure {
  readonly why: string;
  /** Of the rule that took it for a flake. */
  readonly rule?: string;
}

const parallelLogs = 50;

/** Options that are empty count as not given. @throws CroftError `invalid` when nothing was chosen */
export function chosenAction({ loghash, substr, redoFlaky, builder, hash }: ActionOptions): RetryAction {
  const limit = builder || undefined;
  if (loghash) return { kind: 'loghash', prefix: loghash };
  if (substr) return { kind: 'substr', text: substr, builder: limit };
  if (redoFlaky) return { kind: 'flaky', builder: limit };
  if (!builder)
    throw new CroftError('invalid', 'nothing was chosen', { hint: 'Name one of --loghash, --substr, --redo-flaky or --builder.' });
  return hash ? { kind: 'build', builder, hash } : { kind: 'builder', builder };
}

/** Each builder and commit once. @throws CroftError as the farm does; `not-found` for a short hash that no failure has */
export async function chooseFailures(
  action: RetryAction,
  farm: Pick<FarmOfResults, 'failures' | 'log'>,
  rules: readonly FlakyRule[],
): Promise<Chosen[]> {
  const found = await choose(action, farm, rules);
  return [...new Map(found.toReversed().map((one) => [`${one.builder} ${one.hash}`, one])).values()].toReversed();
}

async function choose(action: RetryAction, farm: Pick<FarmOfResults, 'failures' | 'log'>, rules: readonly FlakyRule[]): Promise<Chosen[]> {
  switch (action.kind) {
    case 'loghash':
      return (await farm.failures())
        .filter(({ log }) => log.includes(`/log/${action.prefix}`))
        .map((failure) => ({ ...failure, why: `log ${action.prefix}` }));
    case 'builder':
      return (await farm.failures())
        .filter(({ builder }) => builder === action.builder)
        .map((failure) => ({ ...failure, why: `builder ${action.builder}` }));
    case 'build':
      return [await named(action, farm)];
    case 'substr':
      return byLog(await limited(action, farm), farm, (log) =>
        log.includes(action.text) ? { why: `has ${JSON.stringify(action.text)}` } : undefined,
      );
    case 'flaky':
      return byLog(await limited(action, farm), farm, (log) => {
        const rule = flakyRuleOf(log, rules);
        return rule && { why: `${rule.name}: ${rule.why}`, rule: rule.name };
      });
    default:
      return action satisfies never;
  }
}

/** A whole hash needs no page. */
async function named({ builder, hash }: { builder: string; hash: string }, farm: Pick<FarmOfResults, 'failures'>): Promise<Chosen> {
  const why = 'named';
  if (hash.length === 40) return { builder, hash, log: '', why };
  const found = (await farm.failures()).find((failure) => failure.hash.startsWith(hash));
  if (found) return { builder, hash: found.hash, log: found.builder === builder ? found.log : '', why };
  throw new CroftError('not-found', `no failure of a commit that begins with "${hash}" is on the page`, {
    hint: 'Write all 40 digits of a commit whose failure is older.',
  });
}

async function limited({ builder }: { builder: string | undefined }, farm: Pick<FarmOfResults, 'failures'>): Promise<Failure[]> {
  return (await farm.failures()).filter((failure) => builder === undefined || failure.builder === builder);
}

/** Fails with the first log that cannot be fetched: a choice that is not whole would look like one that is. */
async function byLog(
  failures: readonly Failure[],
  farm: Pick<FarmOfResults, 'log'>,
  judge: (log: string) => Omit<Chosen, keyof Failure> | undefined,
): Promise<Chosen[]> {
  const judged: (Chosen | undefined)[] = failures.map(() => undefined);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < failures.length; index = next++) {
      const failure = failures[index] as Failure;
      const verdict = judge(await farm.log(failure));
      if (verdict) judged[index] = { ...failure, ...verdict };
    }
  };
  const stop = (error: unknown): never => {
    next = failures.length;
    throw error;
  };
  const ended = await Promise.allSettled(Array.from({ length: parallelLogs }, () => work().catch(stop)));
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return judged.filter((one) => one !== undefined);
}
