/**
 * Stands in the bundle for `node:module`, whose compile cache came with Node 22. The bundler tells when a name is asked for that is not
 * here.
 */
import * as module from 'node:module';

export const { createRequire } = module;
export const flushCompileCache: typeof module.flushCompileCache = module.flushCompileCache ?? (() => {});
