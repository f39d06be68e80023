/**
 * Evaluates one configuration module in a process of its own, which may read the directory of that module and nothing else, and
 * sends back plain data. Started by `evaluate-module.ts`.
 */
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What is sent to the parent. `files`: every module that took part or was missing. */
export type Evaluated = { readonly files: readonly string[] } & (
  | { readonly json: string }
  | { readonly issues: readonly { readonly path: readonly (string | number)[]; readonly message: string }[] }
  | { readonly thrown: { readonly message: string; readonly stack: string } }
);

const mostBytes = 16 * 1024 * 1024;
const [, , moduleUrl = ''] = process.argv;
const files = new Set<string>([fileURLToPath(moduleUrl)]);
const doors: Readonly<Record<string, string>> = {
  '@croft/config/define-config': new URL('define-config.ts', import.meta.url).href,
};

// The room's name resolves wherever the configuration lies, without an installation beside it.
registerHooks({
  resolve(specifier, context, next) {
    const door = doors[specifier];
    if (door !== undefined) return { url: door, format: 'module-typescript', shortCircuit: true };
    if (/^\.{0,2}\//.test(specifier)) files.add(fileURLToPath(new URL(specifier, context.parentURL))); // also one that is not there yet
    return next(specifier, context);
  },
  load(url, context, next) {
    if (url.startsWith('file:') && !Object.values(doors).includes(url)) files.add(fileURLToPath(url));
    return next(url, context);
  },
});

const evaluated = await evaluate();
process.send?.(evaluated, () => process.disconnect?.());

async function evaluate(): Promise<Evaluated> {
  try {
    const { default: value } = (await import(moduleUrl)) as { default?: unknown };
    if (value === undefined)
      return { files: [...files], issues: [{ path: [], message: 'has no default export; write: export default defineConfig({ … })' }] };
    const awaited = await Promise.resolve(value);
    const issues = objections(awaited, [], new Set());
    if (issues.length > 0) return { files: [...files], issues };
    const json = JSON.stringify(awaited);
    if (json.length > mostBytes)
      return { files: [...files], issues: [{ path: [], message: `is ${json.length} bytes of data, at most ${mostBytes} are taken` }] };
    return { files: [...files], json };
  } catch (error) {
    const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
    return { files: [...files], thrown: { message, stack } };
  }
}

/** What would not come through as it is. */
function objections(
  value: unknown,
  path: readonly (string | number)[],
  around: ReadonlySet<unknown>,
): { path: readonly (string | number)[]; message: string }[] {
  const bad = (what: string) => [{ path, message: `is ${what}; a configuration holds plain data only` }];
  switch (typeof value) {
    case 'function':
      return bad('a function');
    case 'symbol':
    case 'bigint':
      return bad(`a ${typeof value}`);
    case 'number':
      return Number.isFinite(value) ? [] : bad(String(value));
    case 'object':
      break;
    default:
      return [];
  }
  if (value === null) return [];
  if (around.has(value)) return bad('inside of itself');
  const within = new Set(around).add(value);
  if (Array.isArray(value)) return value.flatMap((inner: unknown, index) => objections(inner, [...path, index], within));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return bad(`a ${value.constructor.name}`);
  return Object.entries(value).flatMap(([key, inner]) => objections(inner, [...path, key], within));
}
