/**
 * Carries out one operation for one caller: role, parameters, body, audit, then the handler. The API and the pages' forms are
 * both admitted here, so neither can do what the other may not.
 */
import type { Hono } from 'hono';
import type { BuildId, MachineId } from '@croft/domain/names';
import { operations, type AnswerOf, type BodyOf, type JsonOperationName, type Operation, type QueryOf } from '@croft/protocol/operations';
import { pathParameters } from '@croft/protocol/path-parameters';
import { CroftError, errorText } from '@croft/runtime/errors';
import { parseInput, readJson } from '@croft/web/body';
import { requireRole, type Identity } from '@croft/web/identity';
import type { Audit } from '../auth/audit.ts';
import type { Capabilities } from '../capabilities.ts';
import type { AppContext, AppEnv } from './context.ts';

export interface Call<Name extends JsonOperationName> {
  readonly params: {
    readonly build: BuildId;
    readonly repo: string;
    readonly session: string;
    readonly token: string;
    readonly key: string;
    readonly sshKey: string;
    readonly machine: MachineId;
  };
  readonly query: QueryOf<Name>;
  readonly body: BodyOf<Name>;
  readonly who: Identity;
  /** As far as this caller may go. */
  readonly capabilities: Capabilities;
  readonly signal: AbortSignal;
}

export type Handlers = { readonly [Name in JsonOperationName]: (call: Call<Name>) => Promise<AnswerOf<Name>> };

/** What the caller gave, before any of it is believed. */
export interface Given {
  readonly params: Readonly<Record<string, string>>;
  readonly query?: unknown;
  readonly body?: (schema: NonNullable<Operation['body']>) => Promise<unknown>;
}

export interface Operator {
  /** Lets the caller do this, and says so in the audit trail when it is a change. @throws CroftError `forbidden`, `unauthenticated` */
  admit(c: AppContext, name: JsonOperationName, params: Given['params']): Promise<void>;
  /** @throws CroftError whatever goes wrong */
  perform<Name extends JsonOperationName>(c: AppContext, name: Name, given: Given): Promise<AnswerOf<Name>>;
}

export function createOperator(handlers: Handlers, audit: Audit): Operator {
  const admit: Operator['admit'] = async (c, name, params) => {
    const operation: Operation = operations[name];
    const { who } = c.var;
    const changes = operation.method !== 'GET' && operation.unaudited !== true;
    const entry = { who: nameOf(who), what: name, target: Object.values(params).join('/').slice(0, 200), from: fromOf(c) };
    try {
      requireRole(who, operation.role);
      // A role that reaches past repositories is not for tokens that are limited to some.
      if (operation.role === 'admin' && who.repos.length > 0)
        throw new CroftError('forbidden', 'a token limited to some repositories cannot do this');
    } catch (error) {
      if (changes) await audit.refused(entry, errorText(error));
      throw error;
    }
    checkParams(params);
    if (changes) await audit.asked(entry);
  };
  return {
    admit,
    async perform(c, name, given) {
      const operation: Operation = operations[name];
      const query = operation.query && parseInput(operation.query, given.query ?? {}, 'the query');
      await admit(c, name, given.params);
      const body = operation.body && (await given.body?.(operation.body));
      const handler = handlers[name] as (call: unknown) => Promise<AnswerOf<typeof name>>;
      const { who, capabilities } = c.var;
      return handler({ params: given.params, query, body, who, capabilities, signal: c.req.raw.signal });
    },
  };
}

/** One route for each operation that has a handler. */
export function mountOperations(app: Hono<AppEnv>, handlers: Handlers, { perform }: Operator): void {
  for (const name of Object.keys(handlers) as JsonOperationName[]) {
    const { method, path, status }: Operation = operations[name];
    app.on(method, routePath(path), async (c) => {
      const body: Given['body'] = (schema) => readJson(c.req.raw, schema);
      return c.json(await perform(c, name, { params: c.req.param() as Record<string, string>, query: c.req.query(), body }), status ?? 200);
    });
  }
}

/** `/builds/{build}` as hono writes it, `/builds/:build`; a `path` may have slashes. */
export function routePath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1').replace(/:path$/, ':path{.+}');
}

/** @throws CroftError `not-found`: nothing can have such an address. */
export function checkParams(params: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(params)) {
    const { pattern, description } = pathParameters[key as keyof typeof pathParameters];
    if (!new RegExp(pattern).test(value))
      throw new CroftError('not-found', `${JSON.stringify(value.slice(0, 120))} is not the ${description}`);
  }
  return params;
}

/** How somebody is called in the audit trail. */
export function nameOf({ name, tokenId }: Identity): string {
  return tokenId === undefined ? name : `${name} (${tokenId})`;
}

/** Where a request came from; behind a proxy, what the proxy saw. */
export function fromOf(c: AppContext): string {
  const { remoteAddress } = c.env.connection;
  const seen = c.get('behindProxy') ? c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined;
  return seen ? `${seen.slice(0, 64)} through ${remoteAddress}` : remoteAddress;
}
