/**
 * The only way the coordinator speaks to a machine: HTTP/1.1 to its buildlet, on a Unix socket or an address. What comes back is
 * not trusted: bodies are capped and parsed. @see docs/protocols/runs.md
 */
import { Agent } from 'node:http';
import type { RunId } from '@croft/domain/names';
import { buildletStatusSchema, runListSchema, runSchema, type BuildletStatus, type Run, type RunSpec } from '@croft/protocol/runs';
import type { Clock, Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { createHttp } from './http.ts';
import { followOutput } from './output.ts';

/** Plain data. Either a socket's path or host and port. */
export interface BuildletAddress {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number;
  readonly password: string;
}

/**
 * Every call throws CroftError: `unavailable` when the buildlet cannot be reached or the connection was cut, `stale` when a newer
 * epoch is in force, else what the buildlet answered. An abort leaves the buildlet usable.
 */
export interface Buildlet extends AsyncDisposable {
  status(waits: Waits): Promise<BuildletStatus>;
  workDir(waits: Waits): Promise<string>;
  /** Unpacks a tar.gz into `dir`, below the work directory. */
  putTarGz(dir: string, body: AsyncIterable<Uint8Array>, epoch: number, waits: Waits): Promise<void>;
  /** `.` empties the work directory. */
  removeAll(paths: readonly string[], epoch: number, waits: Waits): Promise<void>;
  startOrAttach(id: RunId, spec: RunSpec, epoch: number, waits: Waits): Promise<Run>;
  /** With `waitMs` the answer is held until the run ends or the time is over. */
  run(id: RunId, waits: Waits & { readonly waitMs?: number }): Promise<Run | 'unknown' | 'collected'>;
  runs(waits: Waits): Promise<Run[]>;
  /** The output from `from` on, until the run has ended and all of it was sent; `unavailable` when it is cut before. */
  output(id: RunId, from: number, waits: Waits): AsyncIterable<Buffer>;
  ack(id: RunId, to: number, epoch: number, waits: Waits): Promise<void>;
  signal(id: RunId, name: string, epoch: number, waits: Waits): Promise<void>;
  cancel(id: RunId, reason: string, epoch: number, waits: Waits): Promise<Run>;
  collect(id: RunId, epoch: number, waits: Waits): Promise<void>;
  /** Ends the buildlet and all it runs. */
  halt(epoch: number | undefined, waits: Waits): Promise<void>;
}

/** Connections that one client may have open. */
const maxSockets = 16;

export function createBuildlet(address: BuildletAddress, { clock }: { readonly clock: Clock }): Buildlet {
  const agent = new Agent({ keepAlive: true, maxSockets, maxFreeSockets: 4 });
  const http = createHttp(address, agent, clock);
  const runPath = (id: RunId): string => `/runs/${encodeURIComponent(id)}`;
  return {
    status: async (waits) => buildletStatusSchema.parse(await http.json({ method: 'GET', path: '/status' }, waits)),
    workDir: (waits) => http.text({ method: 'GET', path: '/workdir' }, waits),
    async putTarGz(dir, body, epoch, waits) {
      await http.text({ method: 'PUT', path: `/writetgz?dir=${encodeURIComponent(dir)}`, epoch, body, slow: true }, waits);
    },
    async removeAll(paths, epoch, waits) {
      const form = new URLSearchParams(paths.map((path) => ['path', path]));
      await http.text({ method: 'POST', path: '/removeall', epoch, form, slow: true }, waits);
    },
    startOrAttach: async (id, spec, epoch, waits) => runSchema.parse(await http.json({ method: 'PUT', path: runPath(id), epoch, json: spec }, waits)),
    async run(id, { signal, waitMs }) {
      try {
        const path = waitMs === undefined ? runPath(id) : `${runPath(id)}?wait=${waitMs}`;
        return runSchema.parse(await http.json({ method: 'GET', path, extraMs: waitMs }, { signal }));
      } catch (error) {
        if (!isCode(error, 'not-found')) throw error;
        return error.fields['status'] === 410 ? 'collected' : 'unknown';
      }
    },
    runs: async (waits) => runListSchema.parse(await http.json({ method: 'GET', path: '/runs' }, waits)).runs,
    output: (id, from, waits) => followOutput(http, `${runPath(id)}/output?from=${from}&follow=1`, waits),
    async ack(id, to, epoch, waits) {
      await http.text({ method: 'POST', path: `${runPath(id)}/ack?to=${to}`, epoch }, waits);
    },
    async signal(id, name, epoch, waits) {
      await http.text({ method: 'POST', path: `${runPath(id)}/signal?name=${encodeURIComponent(name)}`, epoch }, waits);
    },
    cancel: async (id, reason, epoch, waits) =>
      runSchema.parse(await http.json({ method: 'POST', path: `${runPath(id)}/cancel`, epoch, json: { reason }, slow: true }, waits)),
    async collect(id, epoch, waits) {
      await http.text({ method: 'DELETE', path: runPath(id), epoch, slow: true }, waits);
    },
    async halt(epoch, waits) {
      await http.text({ method: 'POST', path: '/halt', epoch, slow: true }, waits);
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
    },
  };
}
