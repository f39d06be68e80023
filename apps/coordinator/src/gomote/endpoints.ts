/** What of a machine's endpoints people of a session reach through the coordinator, and nothing else: it is not theirs to halt. Pure. */

export interface Endpoint {
  /** `bytes`: as it comes. The others are looked into: whose runs are listed, what a command starts with. */
  readonly kind: 'bytes' | 'raw' | 'list-runs' | 'start-run' | 'exec';
  /** What the audit trail calls it; what changes nothing of the machine has no name. */
  readonly does?: 'session.run' | 'session.write' | 'session.connect' | 'session.end';
  /** A run below the path: its name as asked for. */
  readonly run?: string;
  /** What a raw connection is upgraded to. */
  readonly upgrade?: string;
  /** Its body may go on for as long as somebody types. */
  readonly typed?: boolean;
}

const fixed: Readonly<Partial<Record<string, Endpoint>>> = {
  'GET /status': { kind: 'bytes' },
  'GET /workdir': { kind: 'bytes' },
  'GET /ls': { kind: 'bytes' },
  'GET /tgz': { kind: 'bytes' },
  'PUT /write': { kind: 'bytes', does: 'session.write' },
  'PUT /writetgz': { kind: 'bytes', does: 'session.write' },
  'POST /writetgz': { kind: 'bytes', does: 'session.write' },
  'POST /removeall': { kind: 'bytes', does: 'session.write' },
  'POST /exec': { kind: 'exec', does: 'session.run' },
  'GET /runs': { kind: 'list-runs' },
  'POST /connect': { kind: 'raw', does: 'session.connect', upgrade: 'croft-raw' },
  'POST /sftp': { kind: 'raw', does: 'session.connect', upgrade: 'croft-raw' },
  'POST /listen': { kind: 'raw', does: 'session.connect', upgrade: 'croft-raw' },
  'POST /connect-ssh': { kind: 'raw', does: 'session.connect', upgrade: 'ssh' },
};

const ofRuns: Readonly<Partial<Record<string, Omit<Endpoint, 'run'>>>> = {
  'PUT ': { kind: 'start-run', does: 'session.run' },
  'GET ': { kind: 'bytes' },
  'DELETE ': { kind: 'bytes' },
  'GET /output': { kind: 'bytes' },
  'POST /ack': { kind: 'bytes' },
  'POST /signal': { kind: 'bytes' },
  'POST /cancel': { kind: 'bytes' },
  'PUT /stdin': { kind: 'bytes', typed: true },
  'PUT /size': { kind: 'bytes' },
  'POST /size': { kind: 'bytes' },
};

/** Undefined for whatever is not offered. `path` is without the query and as it came: nothing offered has a character to escape. */
export function endpointOf(method: string, path: string): Endpoint | undefined {
  const offered = fixed[`${method} ${path}`];
  if (offered) return offered;
  const [, run, verb = ''] = /^\/runs\/([A-Za-z0-9][A-Za-z0-9._-]{0,199})(\/[a-z]+)?$/.exec(path) ?? [];
  const ofRun = ofRuns[`${method} ${verb}`];
  return run === undefined || !ofRun ? undefined : { ...ofRun, run };
}
