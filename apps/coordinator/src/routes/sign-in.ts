/** Signing in and out in a browser, and the way there for those who are not. */
import type { Hono } from 'hono';
import { CroftError, asCroftError } from '@croft/runtime/errors';
import { httpStatus } from '@croft/protocol/status-codes';
import { readForm } from '@croft/web/body';
import { endedSessionCookie } from '@croft/web/sessions';
import type { Auth } from '../auth/auth.ts';
import type { AppContext, AppEnv, Pages } from './context.ts';
import { fromOf, nameOf } from './perform.ts';

export interface SignInDeps {
  readonly auth: Auth;
  readonly pages: Pages;
}

export function mountSignIn(app: Hono<AppEnv>, { auth, pages }: SignInDeps): void {
  app.get('/signin', async (c) => c.html(await pages.signIn({ to: pathIn(c.req.query('to')) })));

  app.post('/signin', async (c) => {
    const form = await readForm(c.req.raw);
    const to = pathIn(form.get('to') ?? undefined);
    const from = fromOf(c);
    try {
      const { token, cookie } = await auth.signIn((form.get('token') ?? '').trim(), c.env.connection, isEncrypted(c));
      await auth.audit.asked({ who: `${token.name} (${token.id})`, what: 'session.begin', target: '', from });
      return c.body(null, 303, { location: to, 'set-cookie': cookie });
    } catch (error) {
      const { code, message, hint } = asCroftError(error, 'internal', 'signing in');
      if (code !== 'unauthenticated' && code !== 'exhausted') throw error;
      await auth.audit.refused({ who: 'anonymous', what: 'session.begin', target: '', from }, message);
      return c.html(await pages.signIn({ to, mistake: [message, hint].filter(Boolean).join('. ') }), httpStatus(code) as 401 | 429);
    }
  });

  app.post('/signout', async (c) => {
    await auth.audit.asked({ who: nameOf(c.var.who), what: 'session.end', target: '', from: fromOf(c) });
    return c.body(null, 303, { location: '/signin', 'set-cookie': endedSessionCookie(isEncrypted(c)) });
  });
}

/**
 * What a browser gets that asks for a page without being known: the way to the form. A link from another site carries no
 * session (SameSite=Strict), so the page is first asked for once more, now by ourselves.
 */
export function wayToSignIn(c: AppContext): Response {
  if (c.req.header('sec-fetch-site') === 'cross-site') {
    return c.body('<!doctype html><meta http-equiv="refresh" content="0"><title>Croft</title>', 200, {
      'content-type': 'text/html; charset=utf-8',
    });
  }
  const { pathname, search } = new URL(c.req.url);
  return c.redirect(`/signin?to=${encodeURIComponent(pathname + search)}`, 303);
}

export function isEncrypted(c: AppContext): boolean {
  return c.env.connection.encrypted || c.var.origin.startsWith('https:');
}

/** Only ever to a place on this server. */
function pathIn(to: string | undefined): string {
  return to !== undefined && /^\/(?![/\\])[^\0-\x1f\\]*$/.test(to) ? to : '/';
}

/** Whether this is a person in front of a browser who wants a page. */
export function wantsPage(c: AppContext): boolean {
  return !c.req.path.startsWith('/api/') && (c.req.header('accept') ?? '').includes('text/html');
}

export function notFound(c: AppContext): never {
  throw new CroftError('not-found', `there is nothing at ${c.req.method} ${c.req.path.slice(0, 200)}`, {
    hint: 'The addresses are listed at /api/v1/openapi.json.',
  });
}
