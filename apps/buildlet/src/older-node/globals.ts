/**
 * What the buildlet uses of JavaScript and Node 20 has not. The bundler puts this file before everything else in the program that
 * machines run; the sources run on the pinned Node and do not load it.
 */
import { createRequire } from 'node:module';
import { DisposerStack, SuppressedFailure } from './disposable-stack.ts';

/** Adds what is missing and leaves alone what is there. */
function fill(target: object, members: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(members)) {
    if (name in target) continue;
    Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

fill(Promise, {
  withResolvers<T>() {
    let settle: Omit<PromiseWithResolvers<T>, 'promise'> | undefined;
    const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
    return { promise, ...settle };
  },
});

fill(URL, {
  parse(text: string, base?: string) {
    return URL.canParse(text, base) ? new URL(text, base) : null;
  },
});

fill(process, { getBuiltinModule: createRequire(import.meta.url) });

fill(globalThis, { AsyncDisposableStack: DisposerStack, SuppressedError: SuppressedFailure });
