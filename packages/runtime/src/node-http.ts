/**
 * Node's HTTP without its `fetch`. An `import` of `node:http` reads every name that the module has, and one of them loads the whole of `fetch`: 55 ms of
 * processor time and 15 MB in each process that does not need it.
 */
export const { Agent, createServer, request } = process.getBuiltinModule('node:http');
