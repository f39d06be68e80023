/** The addresses of the account. Forms come in as operations: admitted and recorded before they get here. */
import type { Hono } from 'hono';
import { operations } from '@croft/protocol/operations';
import { sshKeyRequestSchema, type SshDoor } from '@croft/protocol/ssh';
import type { Clock } from '@croft/runtime/clock';
import { parseInput, readForm } from '@croft/web/body';
import type { Page } from '@croft/web/html/document';
import { hasRole } from '@croft/web/identity';
import type { People } from '../door/people.ts';
import type { AppContext, AppEnv } from '../routes/context.ts';
import { accountPage } from './account-page.ts';

export interface AccountRoutes {
  readonly clock: Clock;
  readonly people: Pick<People, 'keysOf' | 'add' | 'remove'>;
  /** Undefined where people do not come in by SSH. */
  readonly door?: SshDoor | undefined;
  /** The whole page, or to htmx the body alone. */
  readonly show: (c: AppContext, page: Page) => Promise<Response>;
}

export function mountAccount(app: Hono<AppEnv>, deps: AccountRoutes): void {
  const { people } = deps;
  app.get('/account', (c) => showAccount(c, deps));

  app.post('/account/keys', async (c) => {
    const request = parseInput(sshKeyRequestSchema, Object.fromEntries(await readForm(c.req.raw)), 'the form');
    const before = await people.keysOf(c.var.who.name);
    const key = await people.add(c.var.who.name, request);
    const told = before.some(({ id }) => id === key.id) ? `you have this key already, as ${key.name}` : `${key.name} was added`;
    return afterwards(c, deps, told);
  });

  app.post('/account/keys/:sshKey/remove', async (c) => {
    const { name } = await people.remove(c.var.who.name, c.req.param('sshKey'));
    return afterwards(c, deps, `${name} was removed`);
  });
}

async function afterwards(c: AppContext, deps: AccountRoutes, told: string): Promise<Response> {
  return c.req.header('HX-Request') === 'true' ? showAccount(c, deps, told) : c.redirect('/account', 303);
}

async function showAccount(c: AppContext, { people, door, clock, show }: AccountRoutes, told?: string): Promise<Response> {
  const { who, origin } = c.var;
  const keys = hasRole(who, operations['ssh-key.list'].role) ? await people.keysOf(who.name) : undefined;
  const body = accountPage({ who: { ...who, role: who.role ?? 'viewer' }, keys, door, origin, now: clock.now(), told });
  return show(c, { title: 'Account', place: 'account', body });
}
