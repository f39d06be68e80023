/** What a machine's container is made of; pure. Where things are inside, what it may do and use, and how it is found again. */
import type { ContainerCreateOptions } from 'dockerode';
import type { ContainerSettings } from '@croft/domain/container';
import type { MachineId } from '@croft/domain/names';
import { sha256Hex } from '@croft/runtime/digest';
import type { ContainerNode } from './container-node.ts';

export interface ContainerPlace {
  readonly id: MachineId;
  readonly pool: string;
  /** Which farm of this computer it belongs to, and where that is. */
  readonly farm: string;
  readonly farmDir: string;
  /** `UID:GID` of everything that runs there. */
  readonly user: string;
  /** Holds `password`, `state` and `home`. */
  readonly dir: string;
  readonly node: ContainerNode;
  /** The buildlet's program first, then what has to lie beside it. */
  readonly program: readonly string[];
  /** What the image sets. */
  readonly variables: Readonly<Record<string, string>>;
}

export const labelNames = {
  farm: 'croft.farm',
  dir: 'croft.dir',
  pool: 'croft.pool',
  machine: 'croft.machine',
  settings: 'croft.settings',
} as const;

const inside = { node: '/croft/node', lib: '/croft/lib', program: '/croft/program', password: '/croft/password' } as const;
const state = '/croft/state';
const home = '/croft/home';

/** Below the machine's `state` directory. */
export const socketName = 'buildlet.sock';

/** As on any machine: with less nothing new begins. */
const leastFreeBytes = 512 * 2 ** 20;

/** What package managers and file owners need; without raw sockets, device nodes, and changing what a program may do. */
const rootCapabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID', 'SYS_CHROOT'];

export function containerName({ farm, id }: Pick<ContainerPlace, 'farm' | 'id'>): string {
  return `croft-${farm}-${id}`;
}

/** Changes when containers that are there are not what is declared any more. */
export function settingsMark({ orphanedMs: _, ...settings }: ContainerSettings, user: string): string {
  return sha256Hex(JSON.stringify([settings.image, settings.network, settings.mounts, user, ...sizes(settings)])).slice(0, 16);
}

function sizes({ cpus, memoryBytes, processes, treeBytesInMemory, readOnly }: Omit<ContainerSettings, 'orphanedMs'>): unknown[] {
  return [cpus ?? null, memoryBytes ?? null, processes, treeBytesInMemory ?? null, readOnly];
}

export function containerSpec(settings: ContainerSettings, place: ContainerPlace): ContainerCreateOptions {
  const { id, pool, farm, user, node } = place;
  return {
    Image: settings.image,
    Entrypoint: [`${inside.lib}/${node.loader}`, '--library-path', inside.lib, inside.node, '--disable-warning=ExperimentalWarning'],
    Cmd: command(settings, place),
    Env: environment(place.variables),
    Hostname: id,
    User: user,
    WorkingDir: home,
    Labels: {
      [labelNames.dir]: place.farmDir,
      [labelNames.farm]: farm,
      [labelNames.pool]: pool,
      [labelNames.machine]: id,
      [labelNames.settings]: settingsMark(settings, user),
    },
    HostConfig: { ...limits(settings), ...rights(settings, user), Mounts: mounts(settings, place), ...inMemory(settings, user) },
  };
}

/** What the image sets is for commands, not for our Node and its libraries, and it never sets what the farm alone may. */
function environment(variables: ContainerPlace['variables']): string[] {
  const ours = Object.keys(variables).filter((name) => !/^(?:PATH|LANG|LC_[A-Z]+|TZ)$/.test(name));
  const commands = Object.entries(variables).filter(([name]) => !/^(?:PATH|HOME|CROFT_.*|META_.*|NODE_.*|npm_.*)$/.test(name));
  const passed = commands.length === 0 ? [] : [`CROFT_COMMAND_ENV=${JSON.stringify(Object.fromEntries(commands))}`];
  return [...ours, `META_password=@${inside.password}`, `HOME=${home}`, ...passed]; // a name alone takes a variable away
}

function command({ orphanedMs, treeBytesInMemory }: ContainerSettings, { program: [main = ''] }: ContainerPlace): string[] {
  const places = ['-workdir', `${home}/work`, '-listen', `unix:${state}/${socketName}`, '--state-dir', `${state}/buildlet`];
  const spare = treeBytesInMemory === undefined ? [] : ['--low-water', String(Math.min(leastFreeBytes, Math.round(treeBytesInMemory / 8)))];
  return [`${inside.program}/${baseName(main)}`, ...places, '--orphaned-after', String(orphanedMs), '--cloud', 'none', ...spare];
}

function limits({ cpus, memoryBytes, processes, network }: ContainerSettings): ContainerCreateOptions['HostConfig'] {
  return {
    NetworkMode: network,
    PidsLimit: processes,
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    RestartPolicy: { Name: 'no' },
  };
}

function rights({ readOnly }: ContainerSettings, user: string): ContainerCreateOptions['HostConfig'] {
  return {
    Init: true,
    Privileged: false,
    ReadonlyRootfs: readOnly,
    CapDrop: ['ALL'],
    CapAdd: user.startsWith('0:') ? rootCapabilities : [],
    SecurityOpt: ['no-new-privileges'],
  };
}

type Mount = NonNullable<NonNullable<ContainerCreateOptions['HostConfig']>['Mounts']>[number];

function mounts(settings: ContainerSettings, { dir, node, program }: ContainerPlace): Mount[] {
  const bind = (Source: string, Target: string, ReadOnly = true): Mount => ({ Type: 'bind', Source, Target, ReadOnly });
  return [
    bind(node.program, inside.node),
    bind(node.libDir, inside.lib),
    ...program.map((file) => bind(file, `${inside.program}/${baseName(file)}`)),
    bind(`${dir}/password`, inside.password),
    bind(`${dir}/state`, state, false),
    ...(settings.treeBytesInMemory === undefined ? [bind(`${dir}/home`, home, false)] : []),
    ...settings.mounts.map(({ source, target, writable }) => bind(source, target, !writable)),
  ];
}

function inMemory({ treeBytesInMemory, readOnly }: ContainerSettings, user: string): ContainerCreateOptions['HostConfig'] {
  const [uid, gid] = user.split(':');
  const trees = treeBytesInMemory === undefined ? {} : { [home]: `exec,size=${treeBytesInMemory},mode=0700,uid=${uid},gid=${gid}` };
  return { Tmpfs: { ...trees, ...(readOnly ? { '/tmp': 'exec,mode=1777' } : {}) } };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
