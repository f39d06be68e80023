/**
 * Writes the entries of an archive below a root. No path component that is a link is ever walked through, a link that would
 * lead out of the root is not made, and a link or fifo that stands at an entry's place is replaced, never written through.
 * Modes and times as in the contract of the buildlet's `/writetgz`. Everything is synchronous.
 * A running command may exchange what lies there meanwhile: `tree-directories.ts`.
 */
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import fs from 'node:fs';
import { goModeText } from './go-mode.ts';
import { quoteName } from './quote-name.ts';
import type { TarHeader } from './tar-header.ts';
import { cleanName, leadOf, parentOf } from './tar-names.ts';
import type { TarSink } from './tar-parser.ts';
import { openDirectories, type TreeDirectories } from './tree-directories.ts';

export interface WriteLimits {
  /** Content of all files together. */
  readonly bytes: number;
  readonly entries: number;
}

export interface TreeWriterOptions {
  /** Later modification times become this; seconds since 1970. */
  readonly maxMtime: number;
  readonly limits: WriteLimits | undefined;
  /** Links whose target leaves the tree are not made, and counted; otherwise they are a failure. */
  readonly leavesOutLinks: boolean;
  /** The root is absolute and holds no links. */
  readonly rootIsReal: boolean;
}

/** `O_NOFOLLOW` and `O_NONBLOCK` are not on every system; where they are missing there are no links and fifos to guard against. */
const createFlags =
  fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_TRUNC | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0);
/** What opening says when a link, a fifo or socket, or a program that is running stands there. */
const replaceable = new Set(['ELOOP', 'EMLINK', 'ENXIO', 'ETXTBSY']);

export class TreeWriter implements TarSink {
  entries = 0;
  bytes = 0;
  /** Files whose time the system did not let us set. */
  untimed = 0;
  /** Links that were not made. */
  leftOut = 0;
  readonly #root: string;
  readonly #options: TreeWriterOptions;
  /** Where entries are made, and where links lead: each stays near where it was last. */
  readonly #opened: { entries?: TreeDirectories; targets?: TreeDirectories } = {};
  /** Links that only the complete tree can judge. */
  readonly #unsettled: { readonly path: string; readonly header: TarHeader }[] = [];
  #file: { readonly fd: number; readonly header: TarHeader } | undefined;

  constructor(root: string, options: TreeWriterOptions) {
    this.#root = Buffer.from(root, 'utf8').toString('latin1');
    this.#options = options;
  }

  entry(header: TarHeader): void {
    this.#count(header);
    const path = cleanName(header.name);
    const directory = header.type === '5' || (header.type === '\0' && header.name.endsWith('/'));
    if (path === undefined || (path === '' && !directory)) {
      throw new CroftError('invalid', `tar file contained invalid name ${quoteName(header.name)}`);
    }
    this.#attempt(header, () => {
      this.#directories.make(directory ? path : parentOf(path));
      if (!directory) this.#make(path, header);
    });
  }

  content(piece: Buffer): void {
    const file = this.#file;
    if (!file) return;
    this.#attempt(file.header, () => {
      for (let at = 0; at < piece.length;) at += fs.writeSync(file.fd, piece, at);
    });
    this.bytes += piece.length;
  }

  entryEnd(): void {
    const file = this.#file;
    if (!file) return;
    const mtime = Math.min(file.header.mtime, this.#options.maxMtime);
    try {
      fs.futimesSync(file.fd, mtime, mtime);
    } catch {
      this.untimed += 1; // the content counts
    }
    this.#closeFile();
  }

  /** Makes the links that had to wait for the complete tree. */
  finish(): void {
    for (const { path, header } of this.#unsettled) {
      if (leadOf(path, header.target, (at) => this.#targets.isDirectory(at)) === 'outside') this.#leaveOut(header);
      else this.#attempt(header, () => this.#symlink(path, header));
    }
  }

  /** Closes what is open, the file being written as well. */
  close(): void {
    try {
      this.#closeFile();
    } finally {
      this.#opened.entries?.close();
      this.#opened.targets?.close();
    }
  }

  get #directories(): TreeDirectories {
    return (this.#opened.entries ??= openDirectories(this.#root, { isReal: this.#options.rootIsReal }));
  }

  get #targets(): TreeDirectories {
    return (this.#opened.targets ??= openDirectories(this.#root, { isReal: this.#options.rootIsReal }));
  }

  #closeFile(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file) this.#attempt(file.header, () => fs.closeSync(file.fd));
  }

  #count({ size }: TarHeader): void {
    this.entries += 1;
    const { limits } = this.#options;
    if (limits && this.entries > limits.entries) throw new CroftError('exhausted', `the archive has more than ${limits.entries} entries`);
    if (limits && this.bytes + size > limits.bytes) throw new CroftError('exhausted', `the archive holds more than ${limits.bytes} bytes`);
  }

  #make(path: string, header: TarHeader): void {
    switch (header.type) {
      case '0':
      case '7':
      case '\0':
        this.#file = { fd: this.#create(path, header.mode & 0o777), header };
        return;
      case '1':
        this.#hardLink(path, header);
        return;
      case '2':
        this.#linkOrWait(path, header);
        return;
      default:
        throw new CroftError('invalid', `tar file entry ${plainName(header.name)} contained unsupported file type ${modeText(header)}`);
    }
  }

  #create(path: string, mode: number): number {
    const at = this.#directories.at(path);
    // The kernel there remembers the signature of a program that was written over.
    if (process.platform === 'darwin' && mode & 0o111) fs.rmSync(at, { force: true });
    try {
      return fs.openSync(at, createFlags, mode);
    } catch (error) {
      if (!replaceable.has(systemCode(error) ?? '')) throw error;
      fs.unlinkSync(at);
      return fs.openSync(at, createFlags | fs.constants.O_EXCL, mode);
    }
  }

  #hardLink(path: string, header: TarHeader): void {
    const target = cleanName(header.target);
    if (!target || !this.#targets.isDirectory(parentOf(target))) throw refused('hard link', header);
    const from = this.#targets.at(target);
    if (!fs.lstatSync(from, { throwIfNoEntry: false })?.isFile()) throw refused('hard link', header);
    if (target !== path) this.#replace(path, (at) => fs.linkSync(from, at));
  }

  #linkOrWait(path: string, header: TarHeader): void {
    const lead = leadOf(path, header.target);
    if (lead === 'outside') this.#leaveOut(header);
    else if (lead === 'unsettled') this.#unsettled.push({ path, header });
    else this.#symlink(path, header);
  }

  #leaveOut(header: TarHeader): void {
    if (!this.#options.leavesOutLinks) throw refused('link', header);
    this.leftOut += 1;
  }

  #symlink(path: string, { target }: TarHeader): void {
    this.#replace(path, (at) => fs.symlinkSync(Buffer.from(target, 'latin1'), at));
  }

  #replace(path: string, make: (at: Buffer) => void): void {
    const at = this.#directories.at(path);
    try {
      make(at);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
      fs.unlinkSync(at);
      make(at);
    }
  }

  #attempt(header: TarHeader, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof CroftError) throw entryGoes(header, error);
      for (const directories of [this.#opened.entries, this.#opened.targets]) directories?.name(error);
      const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
      throw new CroftError(full ? 'exhausted' : 'internal', `unpacking ${quoteName(header.name)}: ${errorText(error)}`, { cause: error });
    }
  }
}

function entryGoes({ name }: TarHeader, error: CroftError): CroftError {
  const { link } = error.fields;
  if (typeof link !== 'string') return error;
  return new CroftError('invalid', `tar file entry ${quoteName(name)} goes through ${quoteName(link)}, which is a symbolic link`);
}

function refused(kind: string, { name, target }: TarHeader): CroftError {
  const why = kind === 'link' ? 'leads out of the tree' : 'is not a file of the tree';
  return new CroftError('invalid', `tar file entry ${quoteName(name)} is a ${kind} to ${quoteName(target)}, which ${why}`);
}

function plainName(name: string): string {
  return /^[!-~]+$/.test(name) ? name : quoteName(name);
}

/** `prw-r--r--` */
function modeText({ type, mode }: TarHeader): string {
  return goModeText((specialTypes[type] ?? 0) | (mode & 0o7777));
}

/** The types of POSIX that are told apart where an archive has what is not unpacked. */
const specialTypes: Readonly<Record<string, number>> = { '3': 0o020000, '4': 0o060000, '6': 0o010000 };
