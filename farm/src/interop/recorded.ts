/** Requests to a buildlet that listens, to the byte, and what Go's buildlets answer to them. */

export interface Recorded {
  readonly name: string;
  /** `METHOD PATH`. */
  readonly ask: string;
  /** Of HTTP; 1.1 when absent. */
  readonly version?: '1.0' | '1.1';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** By version of the buildlet: of those with both, the first is for versions below 26. */
  readonly status: number | readonly [before26: number, since26: number];
  readonly answer: Answer | readonly [before26: Answer, since26: Answer];
  /** The answer is given as it stands on the wire, in chunks and with trailers. */
  readonly raw?: boolean;
  /** Of the answer, in lower case; undefined stands for one that must not be there. */
  readonly shows?: Readonly<Record<string, string | undefined>>;
}

type Answer = string | RegExp;

const plainError = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
const notFound = '404 page not found\n';
const badPath = (parameter: string, path: string): string =>
  `invalid '${parameter}' parameter: path "${path}" refers to a parent directory\n`;

const machine: readonly Recorded[] = [
  { name: 'the root says what it is', ask: 'GET /', status: 200, answer: /^buildlet running on linux-(amd64|arm64)\n$/ },
  { name: 'healthz', ask: 'POST /healthz', status: 200, answer: 'ok\n' },
  {
    name: 'status is JSON with a version',
    ask: 'GET /status',
    status: 200,
    answer: /^\{"Version":\d+[,}]/,
    shows: { 'content-type': 'application/json; charset=utf-8' },
  },
  { name: 'HEAD is the wrong method', ask: 'HEAD /status', status: 400, answer: '' },
  { name: 'the wrong method of status', ask: 'POST /status', status: 400, answer: 'requires GET method\n', shows: plainError },
  { name: 'the wrong method of workdir', ask: 'POST /workdir', status: 400, answer: 'requires GET method\n', shows: plainError },
  { name: 'the wrong method of ls', ask: 'POST /ls', status: 400, answer: 'requires GET method\n', shows: plainError },
  { name: 'the wrong method of tgz', ask: 'POST /tgz', status: 400, answer: 'requires GET method\n', shows: plainError },
  { name: 'the wrong method of exec', ask: 'GET /exec', status: 400, answer: 'requires POST method\n', shows: plainError },
  { name: 'the wrong method of halt', ask: 'GET /halt', status: 400, answer: 'requires POST method\n', shows: plainError },
  { name: 'the wrong method of removeall', ask: 'GET /removeall', status: 400, answer: 'requires POST method\n', shows: plainError },
  { name: 'the wrong method of connect-ssh', ask: 'GET /connect-ssh', status: 400, answer: 'requires POST method\n', shows: plainError },
  {
    name: 'the wrong method of write asks for POST and wants PUT',
    ask: 'POST /write',
    status: 400,
    answer: 'requires POST method\n',
    shows: plainError,
  },
  { name: 'the wrong method of writetgz', ask: 'GET /writetgz', status: 400, answer: 'requires PUT or POST method\n', shows: plainError },
  { name: 'an unknown path', ask: 'GET /nope', status: 404, answer: notFound, shows: plainError },
  { name: 'a path with a slash more', ask: 'GET /status/', status: 404, answer: notFound, shows: plainError },
  { name: 'debug/x gives as many', ask: 'GET /debug/x?n=3', status: 200, answer: 'XXX' },
  { name: 'debug/x of no number', ask: 'GET /debug/x?n=three', status: 200, answer: '' },
  { name: 'debug/x has a cap', ask: 'GET /debug/x?n=99999999', status: 200, answer: /^X{1048576}$/ },
  {
    name: 'debug/goroutines is text',
    ask: 'GET /debug/goroutines',
    status: 200,
    answer: /./,
    shows: { 'content-type': 'text/plain; charset=utf-8' },
  },
];

const files: readonly Recorded[] = [
  { name: 'write, as Go’s client sends it', ask: 'PUT /write?mode=420&path=go%2FVERSION', body: 'devel', status: 200, answer: 'OK' },
  {
    name: 'write of an octal mode takes the nine bits and no setuid',
    ask: 'PUT /write?mode=2541&path=modes/octal',
    body: '',
    status: 200,
    answer: 'OK',
  },
  { name: 'write of Go’s setuid bit', ask: 'PUT /write?mode=8389101&path=modes/setuid', body: '', status: 200, answer: 'OK' },
  {
    name: 'the modes that were written',
    ask: 'GET /ls?dir=modes',
    status: 200,
    answer: /^-rwxr-xr-x\toctal\t0\t\S+\nurwxr-xr-x\tsetuid\t0\t\S+\n$/,
  },
  { name: 'write of a directory’s mode', ask: 'PUT /write?mode=2147483648&path=x', status: 400, answer: 'bad mode\n', shows: plainError },
  { name: 'write of a mode below zero', ask: 'PUT /write?mode=-1&path=x', status: 400, answer: 'bad mode\n', shows: plainError },
  { name: 'write without a mode', ask: 'PUT /write?path=x', status: 400, answer: 'bad mode\n', shows: plainError },
  {
    name: 'write out of the work directory',
    ask: 'PUT /write?mode=420&path=..%2Fx',
    status: 400,
    answer: ['bad path\n', badPath('path', '../x')],
    shows: plainError,
  },
  {
    name: 'removeall of nothing',
    ask: 'POST /removeall',
    headers: form,
    body: '',
    status: 400,
    answer: "requires 'path' parameter\n",
    shows: plainError,
  },
  {
    name: 'removeall out of the work directory',
    ask: 'POST /removeall?path=ok',
    headers: form,
    body: 'path=..%2Fx',
    status: 400,
    answer: [`bad 'path' parameter: "../x"\n`, badPath('path', '../x')],
    shows: plainError,
  },
  {
    name: 'removeall takes paths from query and body',
    ask: 'POST /removeall?path=none',
    headers: form,
    body: 'path=go%2FVERSION',
    status: 200,
    answer: '',
  },
  {
    name: 'ls out of the work directory',
    ask: 'GET /ls?dir=..%2Fx',
    status: 400,
    answer: ['bogus dir\n', badPath('dir', '../x')],
    shows: plainError,
  },
  {
    name: 'ls of nothing',
    ask: 'GET /ls?digest=false&dir=nope&recursive=false',
    status: 500,
    answer: /^Walk error: lstat .*\/nope: no such file or directory\n$/,
    shows: plainError,
  },
  {
    name: 'tgz out of the work directory',
    ask: 'GET /tgz?dir=..%2Fx',
    status: 400,
    answer: ['bogus dir\n', badPath('dir', '../x')],
    shows: plainError,
  },
  {
    name: 'writetgz out of the work directory',
    ask: 'PUT /writetgz?dir=..%2Fx',
    body: '',
    status: 400,
    answer: ['bogus dir\n', badPath('dir', '../x')],
    shows: plainError,
  },
  {
    name: 'writetgz of what is no gzip',
    ask: 'PUT /writetgz?dir=',
    body: 'no gzip at all',
    status: 400,
    answer: 'requires gzip-compressed body: gzip: invalid header\n',
    shows: plainError,
  },
  {
    name: 'writetgz of an empty body',
    ask: 'PUT /writetgz?dir=',
    body: '',
    status: 400,
    answer: 'requires gzip-compressed body: EOF\n',
    shows: plainError,
  },
  {
    name: 'writetgz without a URL',
    ask: 'POST /writetgz?dir=x',
    headers: form,
    body: '',
    status: 400,
    answer: 'missing url POST param\n',
    shows: plainError,
  },
];

const commands: readonly Recorded[] = [
  {
    name: 'exec, as Go’s client sends it',
    ask: 'POST /exec',
    headers: form,
    body: 'cmd=%2Fbin%2Fsh&mode=sys&dir=&cmdArg=-c&cmdArg=echo+hi%3Bexit+3&debug=0',
    status: 200,
    raw: true,
    answer: '3\r\nhi\n\r\n0\r\nProcess-State: exit status 3\r\n\r\n',
    shows: { trailer: 'Process-State', 'transfer-encoding': 'chunked', 'content-type': undefined },
  },
  {
    name: 'exec over HTTP/1.0, which has no trailers',
    ask: 'POST /exec',
    version: '1.0',
    headers: form,
    body: 'cmd=%2Fbin%2Ftrue&mode=sys',
    status: 400,
    answer: 'HTTP/1.1 or higher required\n',
  },
  {
    name: 'exec of a command that prints nothing',
    ask: 'POST /exec',
    headers: form,
    body: 'cmd=%2Fbin%2Ftrue&mode=sys',
    status: 200,
    raw: true,
    answer: '0\r\nProcess-State: ok\r\n\r\n',
    shows: { trailer: 'Process-State', 'transfer-encoding': 'chunked', 'content-type': undefined },
  },
  {
    name: 'exec without a command declares its trailer all the same',
    ask: 'POST /exec',
    headers: form,
    body: 'mode=sys',
    status: 400,
    answer: ["requires 'cmd' parameter\n", "invalid 'cmd' parameter: requires 'cmd' parameter\n"],
    shows: { ...plainError, trailer: 'Process-State' },
  },
  {
    name: 'connect-ssh with a body',
    ask: 'POST /connect-ssh',
    body: 'x',
    status: 400,
    answer: 'requires zero Content-Length\n',
    shows: plainError,
  },
];

const basic = (text: string): Record<string, string> => ({ Authorization: `Basic ${Buffer.from(text).toString('base64')}` });
/** Of the buildlet that these are sent to. */
export const password = 'open sesame';
const locked = { status: 403, answer: 'invalid password\n', shows: { ...plainError, 'www-authenticate': undefined } };

/** To a buildlet with a password. */
export const recordedLocked: readonly Recorded[] = [
  { name: 'no password', ask: 'GET /status', ...locked },
  { name: 'a wrong password', ask: 'GET /status', headers: basic('gomote:open sesam'), ...locked },
  { name: 'the wrong method of a locked address', ask: 'HEAD /workdir', ...locked, answer: '' },
  {
    name: 'the password, whoever asks',
    ask: 'GET /status',
    headers: basic(`anybody:${password}`),
    status: 200,
    answer: /^\{"Version":\d+/,
  },
  { name: 'the password without a name', ask: 'GET /status', headers: basic(`:${password}`), status: 200, answer: /^\{"Version":\d+/ },
  { name: 'the root is open', ask: 'GET /', status: 200, answer: /^buildlet running on / },
  { name: 'healthz is open', ask: 'GET /healthz', status: 200, answer: 'ok\n' },
  { name: 'debug/x is open', ask: 'GET /debug/x?n=1', status: 200, answer: 'X' },
  { name: 'debug/goroutines is not', ask: 'GET /debug/goroutines', ...locked },
  { name: 'what is nowhere is nowhere for everybody', ask: 'GET /nope', status: 404, answer: notFound },
];

export const recorded: readonly Recorded[] = [...machine, ...files, ...commands];
