/**
 * `POST /hooks/REPO`: a forge says that somebody has pushed. Whoever shows that they know the repository's secret has it looked at,
 * and nothing more, so a repeated or invented message costs one look. The answer waits for nothing.
 */
import type { Hono } from 'hono';
import { hookOf, newsOf, proves, readSigned, type Hook } from '@croft/forge/hooks';
import type { Secret } from '@croft/runtime/config';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Attempts } from '@croft/web/attempts';
import type { Audit } from '../auth/audit.ts';
import type { AppContext, AppEnv } from './context.ts';
import { fromOf } from './perform.ts';

export interface HookDeps {
  hookSecret(repo: string): Secret | undefined;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  /** Wrong proofs, by where they come from. */
  readonly attempts: Attempts;
}

const prefix = '/hooks/';

/** Requests that are carried out for their signature, so that a form without an origin may make them. */
export function provesBySignature({ pathname }: URL): boolean {
  return pathname.startsWith(prefix);
}

export function mountHooks(app: Hono<AppEnv>, deps: HookDeps): void {
  app.post(`${prefix}:repo`, async (c) => {
    const repo = c.req.param('repo').slice(0, 100);
    const hook = hookOf(c.req.raw.headers);
    const entry = { who: `hook (${hook.forge})`, what: 'repo.notify', target: repo, from: fromOf(c) };
    const body = await proved(c, { ...deps, hook, repo }).catch(async (error: unknown) => {
      if (error instanceof CroftError) await deps.audit.refused(entry, errorText(error));
      throw error;
    });
    const news = newsOf(hook, body);
    if (news.kind === 'ignored') return c.json({ repo, ignored: news.why }, 202);
    await deps.audit.asked(entry);
    c.var.capabilities.wake(repo, news.branches);
    return c.json({ repo, branches: news.branches }, 202);
  });
}

/** @throws CroftError `forbidden` where hooks are not taken, `unauthenticated` for a wrong proof, `exhausted` after many such */
async function proved(
  c: AppContext,
  { hook, repo, hookSecret, attempts }: HookDeps & { hook: Hook; repo: string },
): Promise<string | undefined> {
  const from = fromOf(c);
  const { header, value } = hook.proof;
  const secret = hookSecret(repo)?.reveal();
  // The same whether there is such a repository or not.
  if (secret === undefined)
    throw new CroftError('forbidden', `hooks are not taken for a repository "${repo}"`, {
      hint: 'The operator gives a repository a hookSecret, the name of a secret, and the same secret to the forge.',
    });
  const body = await readSigned(c.req.raw.body, secret);
  if (proves(hook, secret, body)) return body.text; // whoever else fails from there: a forge sends for many people
  attempts.check(from);
  attempts.failed(from);
  const what = value === '' ? `has no ${header}` : `has a ${header} that was not made with the secret of "${repo}"`;
  throw new CroftError('unauthenticated', `this message ${what}`, {
    hint: 'Give the forge the secret that the repository’s hookSecret names, without a space or line end around it.',
  });
}
