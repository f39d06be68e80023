/**
 * What a Docker pool asks of the daemon, each call with its deadline, over its Unix socket. The client is loaded when it is first
 * needed: a farm without such a pool does not pay for it.
 */
import type Dockerode from 'dockerode';
import { anySignal, MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode, type ErrorCode } from '@croft/runtime/errors';

/** One container as the daemon lists it. */
export interface Container {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`. */
  readonly state: string;
}

/** How a container ended. */
export interface ContainerEnd {
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  /** What the daemon could not do, if it was that. */
  readonly error: string;
  /** The last of what it said. */
  readonly said: string;
}

export interface ImageFacts {
  /** Variables that it sets. */
  readonly variables: Readonly<Record<string, string>>;
}

export interface Daemon {
  /** Those that have this label, running or not. */
  list(label: string, waits: Waits): Promise<readonly Container[]>;
  /** @throws CroftError `not-found` without the image */
  create(name: string, spec: Dockerode.ContainerCreateOptions, waits: Waits): Promise<string>;
  start(id: string, waits: Waits): Promise<void>;
  /** Kills what runs in it. One that is not there is no failure. */
  remove(id: string, waits: Waits): Promise<void>;
  end(id: string, waits: Waits): Promise<ContainerEnd>;
  /** Undefined when the daemon does not have it. */
  image(name: string, waits: Waits): Promise<ImageFacts | undefined>;
  pull(name: string, waits: Waits): Promise<void>;
}

const answerMs = 15 * SECOND;
/** A container may have much to unmount and delete. */
const changeMs = MINUTE;
const pullMs = 30 * MINUTE;
const saidLines = 50;
/** Of the daemon's own words. */
const messageChars = 600;

export function createDaemon(socketPath: string, { clock }: { clock: Clock }): Daemon {
  let client: Promise<Dockerode> | undefined;
  const ask = async <T>(
    doing: string,
    call: (docker: Dockerode, abortSignal: AbortSignal) => Promise<T>,
    { signal, withinMs = answerMs }: Waits & { withinMs?: number },
  ): Promise<T> => {
    const limit = anySignal(signal, clock.deadline(withinMs));
    try {
      return await call(await (client ??= connect(socketPath)), limit);
    } catch (error) {
      signal?.throwIfAborted();
      throw daemonError(doing, limit.aborted ? limit.reason : error, socketPath);
    }
  };
  return {
    list: (label, waits) =>
      ask(
        'list the containers',
        async (docker, abortSignal) => {
          const found = await docker.listContainers({ all: true, filters: { label: [label] }, abortSignal });
          return found.map(({ Id, Labels, State }) => ({ id: Id, labels: Labels ?? {}, state: State }));
        },
        waits,
      ),
    create: (name, spec, waits) =>
      ask(`make the container ${name}`, async (docker, abortSignal) => (await docker.createContainer({ ...spec, name, abortSignal })).id, {
        ...waits,
        withinMs: changeMs,
      }),
    start: (id, waits) =>
      ask('start the container', async (docker, abortSignal) => void (await docker.getContainer(id).start({ abortSignal })), {
        ...waits,
        withinMs: changeMs,
      }),
    async remove(id, waits) {
      const call = async (docker: Dockerode, abortSignal: AbortSignal): Promise<void> =>
        void (await docker.getContainer(id).remove({ force: true, v: true, abortSignal }));
      await ask('remove the container', call, { ...waits, withinMs: changeMs }).catch(unless('not-found'));
    },
    end: (id, waits) => ask('look at the container', (docker, abortSignal) => readEnd(docker.getContainer(id), abortSignal), waits),
    image: (name, waits) =>
      ask(
        `look at the image ${name}`,
        async (docker, abortSignal) => {
          const { Config } = await docker.getImage(name).inspect({ abortSignal } as object); // which its types leave out
          return { variables: Object.fromEntries((Config?.Env ?? []).map(splitVariable)) };
        },
        waits,
      ).catch(unless('not-found')),
    pull: (name, waits) =>
      ask(`pull the image ${name}`, (docker, abortSignal) => pullImage(docker, name, abortSignal), { ...waits, withinMs: pullMs }),
  };
}

function splitVariable(entry: string): [string, string] {
  const at = entry.indexOf('=');
  return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
}

async function connect(socketPath: string): Promise<Dockerode> {
  const { default: Client } = await import('dockerode');
  return new Client({ socketPath, host: '' }); // not that of DOCKER_HOST
}

async function readEnd(container: Dockerode.Container, abortSignal: AbortSignal): Promise<ContainerEnd> {
  const { State } = await container.inspect({ abortSignal });
  // A container may have no log that can be read, and its end is told all the same.
  const log = await container.logs({ stdout: true, stderr: true, tail: saidLines, abortSignal }).catch(() => Buffer.alloc(0));
  return { exitCode: State.ExitCode, outOfMemory: State.OOMKilled, error: State.Error, said: unframed(log).trim() };
}

/** Docker puts a head of eight bytes before each piece of a log: the stream, three zeros, the length. */
function unframed(log: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= log.length;) {
    const end = at + 8 + log.readUInt32BE(at + 4);
    pieces.push(log.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(pieces).toString();
}

async function pullImage(docker: Dockerode, name: string, abortSignal: AbortSignal): Promise<void> {
  const progress = await docker.pull(name, { abortSignal });
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(progress, (error) => (error ? reject(error) : resolve()));
  });
}

function unless(code: ErrorCode): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof CroftError && error.code === code) return;
    throw error;
  };
}

/** The daemon's own words are in `json.message`. */
function daemonError(doing: string, error: unknown, socketPath: string): CroftError {
  const { statusCode, json } = error as { statusCode?: number; json?: { message?: unknown } };
  if (statusCode === undefined) {
    const denied = systemCode(error) === 'EACCES';
    return new CroftError('unavailable', `${doing}: the Docker daemon at ${socketPath} does not answer: ${errorText(error)}`, {
      cause: error,
      hint: denied
        ? 'Let the user who runs the coordinator use Docker (group docker).'
        : 'Start the daemon, or correct the pool’s socketPath.',
    });
  }
  const said = typeof json?.message === 'string' ? json.message : errorText(error);
  return new CroftError(statusCode === 404 ? 'not-found' : 'internal', `${doing}: ${said.slice(0, messageChars)}`, { cause: error });
}
