/** The OpenAPI 3.1 document of the coordinator, generated from the operations table: nothing in it is written twice. */
import * as z from 'zod';
import type { ErrorCode } from '@croft/runtime/errors';
import { buildDetailSchema, buildSummarySchema, changeSchema, endSchema, farmSchema, gridSchema } from './api.ts';
import { commonErrors, operations, type Operation } from './operations.ts';
import { pathParameters } from './path-parameters.ts';
import { errorBodySchema } from './runs.ts';
import { sessionViewSchema } from './sessions.ts';
import { httpStatus } from './status-codes.ts';
import { tokenViewSchema } from './tokens.ts';

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Record<string, string>;
  readonly paths: Record<string, Record<string, unknown>>;
  readonly [key: string]: unknown;
}

/** Schemas that have a name in the document; all others are written where they are used. */
const named = {
  End: endSchema,
  BuildSummary: buildSummarySchema,
  BuildDetail: buildDetailSchema,
  Session: sessionViewSchema,
  Grid: gridSchema,
  Farm: farmSchema,
  Token: tokenViewSchema,
  Change: changeSchema,
  Error: errorBodySchema,
};

export function openApiDocument(version: string): OpenApiDocument {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [name, operation] of Object.entries(operations) as [string, Operation][]) {
    (paths[operation.path] ??= {})[operation.method.toLowerCase()] = describe(name, operation);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Croft',
      version,
      description: 'Instants are epoch ms, durations ms, sizes bytes. Fields are only ever added. HEAD is answered wherever GET is.',
    },
    security: [{ token: [] }, { session: [] }, {}],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'a token made by `croft token create`' },
        session: { type: 'apiKey', in: 'cookie', name: 'croft_session', description: 'made by the sign-in page' },
      },
      schemas: Object.fromEntries(Object.entries(named).map(([key, schema]) => [key, jsonSchema(schema)])),
    },
  };
}

function describe(name: string, operation: Operation): Record<string, unknown> {
  const parameters = [...pathParametersOf(operation), ...queryParametersOf(operation)];
  return {
    operationId: name,
    summary: operation.does,
    'x-role': operation.role,
    ...(operation.role === 'anyone' ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(operation.body ? { requestBody: { content: { 'application/json': { schema: jsonSchema(operation.body) } } } } : {}),
    responses: { [operation.status ?? 200]: success(operation), ...ranges(operation), ...failures(operation) },
  };
}

function pathParametersOf({ path }: Operation): unknown[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, key = '']) => {
    const { pattern, description } = pathParameters[key as keyof typeof pathParameters];
    return { name: key, in: 'path', required: true, description, schema: { type: 'string', pattern } };
  });
}

function queryParametersOf({ query }: Operation): unknown[] {
  if (!query) return [];
  const { properties = {}, required = [] } = jsonSchema(query) as { properties?: Record<string, unknown>; required?: string[] };
  return Object.entries(properties).map(([key, schema]) => ({ name: key, in: 'query', required: required.includes(key), schema }));
}

function success({ answer }: Operation): unknown {
  if (typeof answer === 'string') return { description: 'done', content: { [answer]: { schema: { type: 'string' } } } };
  return { description: 'done', content: { 'application/json': { schema: reference(answer) ?? jsonSchema(answer) } } };
}

function ranges({ answer, path }: Operation): Record<string, unknown> {
  if (typeof answer !== 'string' || !/log(\/\{sha1\})?$|\{path\}$/.test(path)) return {};
  return {
    206: { description: 'the range asked for', content: { [answer]: { schema: { type: 'string' } } } },
    304: { description: 'unchanged' },
    416: { description: 'the range begins after the end', content: errorContent },
  };
}

const errorContent = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } };

function failures({ role, body, errors }: Operation): Record<string, unknown> {
  const common = commonErrors.filter((code) => role !== 'anyone' || !accessErrors.includes(code));
  const codes = new Set([...common, ...(body ? (['too-large'] as const) : []), ...errors]);
  return Object.fromEntries([...codes].map((code) => [httpStatus(code), { description: code, content: errorContent }]));
}
const accessErrors: readonly ErrorCode[] = ['unauthenticated'];

function reference(schema: z.ZodType): { $ref: string } | undefined {
  const found = Object.entries(named).find(([, candidate]) => candidate === schema);
  return found && { $ref: `#/components/schemas/${found[0]}` };
}

/** As input: what readers must accept, so unknown fields are not ruled out. */
function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
  return rest;
}
