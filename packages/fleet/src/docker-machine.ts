/** One machine of a Docker pool, whichever container it is at the moment. */
import type { Dial } from '@croft/buildlet/address';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import type { ContainerSettings } from '@croft/domain/container';
import type { MachineId } from '@croft/domain/names';
import { anySignal, SECOND, type Waits } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { containerName, containerSpec, labelNames, settingsMark } from './docker-container.ts';
import type { Container, Daemon } from './docker-daemon.ts';
import { explainEnd } from './docker-evidence.ts';
import type { Images } from './docker-image.ts';
import type { DockerPoolOptions } from './docker-pool.ts';
import { dialSocket } from './docker-socket.ts';
import type { PoolDeps } from './local-pool.ts';
import type { MachineDirectories } from './machine-directories.ts';
import { observeStatus, type ObservedStatus } from './observe.ts';
import type { Observed } from './pool.ts';

export interface DockerMachine extends AsyncDisposable {
  readonly buildlet: Buildlet;
  /** How it is, as its container was listed. */
  observe(container: Container | undefined, waits: Waits): Promise<Observed>;
  /**
   * A container that ended is started again over what it left; one that is not what is declared any more, or that did not come up,
   * gives way to another.
   */
  start(container: Container | undefined, waits: Waits): Promise<void>;
  /** Its container served a build, or is not what is declared, and holds nothing that nobody collected. As it was observed last. */
  isWorn(container: Container | undefined, isUsed: boolean): boolean;
}

export interface DockerMachineDeps extends PoolDeps {
  /** As declared now. */
  readonly options: () => DockerPoolOptions;
  readonly farm: string;
  readonly daemon: Daemon;
  readonly images: Images;
  readonly files: MachineDirectories;
}

const answerMs = 2 * SECOND;
/** For so long one that was started need not answer. */
const startMs = 20 * SECOND;
const firstPauseMs = 250;
const longestPauseMs = 30 * SECOND;
/** So much of a container's id `docker ps` shows. */
const shownId = 12;
const ownUser = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;

export async function openDockerMachine(id: MachineId, deps: DockerMachineDeps): Promise<DockerMachine> {
  const { options, files, daemon, clock, log } = deps;
  const prepare = (): Promise<string> => files.prepare(id, { user: userOf(options()), password: deps.random.hex(32) });
  const password = await prepare();
  const socketPath = files.socket(id);
  const dial: Dial = (waits) => dialSocket(socketPath, waits);
  const buildlet = createBuildlet({ name: id, socketPath, dial, password }, { clock });
  let started: { readonly at: number; readonly failed?: string } | undefined;
  /** How often it was started since it last answered. */
  let starts = 0;
  let [hasWork, hadWork] = [false, false];

  const isCurrent = (container: Container): boolean => container.labels[labelNames.settings] === settingsMark(options(), userOf(options()));
  const look = async (container: Container | undefined, waits: Waits): Promise<Pick<Observed, 'state' | 'evidence'> & ObservedStatus> => {
    if (!container) return { state: 'down', evidence: started?.failed ?? 'it has no container' };
    if (container.state !== 'running') return { state: 'down', evidence: explainEnd(await daemon.end(container.id, waits)) };
    try {
      const status = await buildlet.status({ signal: anySignal(waits.signal, clock.deadline(answerMs)) });
      starts = 0;
      [hasWork, hadWork] = [(status.Croft?.runs ?? 0) > 0, (status.Croft?.epoch ?? 0) > 0];
      return { state: 'up', ...limited(observeStatus(status), options()) };
    } catch (error) {
      waits.signal?.throwIfAborted();
      const young = started !== undefined && clock.monotonic() - started.at < startMs;
      return { state: young ? 'starting' : 'silent', evidence: `its buildlet does not answer: ${errorText(error)}` };
    }
  };
  const startNow = async (container: Container | undefined, waits: Waits): Promise<void> => {
    await prepare();
    const keeps = container !== undefined && isCurrent(container) && starts <= 1;
    const ready = keeps ? container.id : await makeContainer(id, container, { ...deps, waits });
    await daemon.start(ready, waits);
    log.info('machine started', { machine: id, container: ready.slice(0, shownId) });
  };

  return {
    buildlet,
    async observe(container, waits) {
      const { hostType, labels } = options();
      return { id, hostType, labels, oneBuild: true, container: container?.id.slice(0, shownId), ...(await look(container, waits)) };
    },
    async start(container, waits) {
      const now = clock.monotonic();
      const pause = starts === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** starts);
      if (started !== undefined && now - started.at < pause) return;
      starts += 1;
      started = { at: now };
      try {
        await startNow(container, waits);
      } catch (error) {
        started = { at: now, failed: errorText(error) };
        throw error;
      }
    },
    isWorn: (container, isUsed) => container !== undefined && !hasWork && (isUsed || hadWork || !isCurrent(container)),
    [Symbol.asyncDispose]: () => buildlet[Symbol.asyncDispose](),
  };
}

function userOf({ user = ownUser }: ContainerSettings): string {
  return user;
}

async function makeContainer(
  id: MachineId,
  before: Container | undefined,
  { options, farm, daemon, images, files, waits }: DockerMachineDeps & { waits: Waits },
): Promise<string> {
  const declared = options();
  const { variables } = await images.need(declared.image, waits);
  if (before) await daemon.remove(before.id, waits);
  const [node, program] = await Promise.all([declared.node(), declared.program()]);
  const whose = { id, pool: declared.name, farm, farmDir: declared.dir, user: userOf(declared) };
  const place = { ...whose, dir: files.dir(id), node, program, variables };
  return daemon.create(containerName(place), containerSpec(declared, place), waits);
}

/** A container sees the processors and the memory of the whole computer. */
function limited(status: ObservedStatus, { cpus = Infinity, memoryBytes = Infinity }: ContainerSettings): ObservedStatus {
  const least = (of: number | undefined, limit: number): number | undefined => (of === undefined ? undefined : Math.min(of, limit));
  return { ...status, cpus: least(status.cpus, cpus), memoryBytes: least(status.memoryBytes, memoryBytes) };
}
