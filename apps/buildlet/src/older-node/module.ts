/** Stands in the bundle for `node:module`, whose compile cache came with Node 22. The bundler tells when another name is asked for. */
import * as module from 'node:module';

export const flushCompileCache: typeof module.flushCompileCache = module.flushCompileCache ?? (() => {});
