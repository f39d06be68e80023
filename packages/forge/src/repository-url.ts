/**
 * Addresses of repositories: which ones git may be given, what of them may be shown, and how a submodule's follows from its
 * parent's. Credentials are taken out here and travel apart from the address ever after.
 */
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Secret } from '@croft/runtime/config';
import { CroftError } from '@croft/runtime/errors';

export interface Credentials {
  readonly username: string;
  readonly password: Secret;
}

export type RepositoryUrl =
  /** A path on this machine, absolute. */
  | { readonly kind: 'local'; readonly text: string; readonly shown: string }
  | {
      readonly kind: 'remote';
      /** What git is given: without credentials. */
      readonly text: string;
      /** For people: without a query too. */
      readonly shown: string;
      readonly credentials: Credentials | undefined;
    };

const hint = 'Give a path of this machine, or an address that begins with https://, http://, ssh://, git:// or file://.';

/** @throws CroftError `invalid` for what git would take as an option, as a command to run or as an unknown transport. */
export function parseRepositoryUrl(text: string): RepositoryUrl {
  const bad = (why: string): CroftError => new CroftError('invalid', `repository ${JSON.stringify(redacted(text))} ${why}`, { hint });
  if (text === '' || /[\x00-\x1f\x7f]/.test(text)) throw bad('is empty or holds control characters');
  if (text.startsWith('-')) throw bad('begins with a dash, which git would take for an option');
  if (/^[\w+.-]*::/.test(text)) throw bad('names a transport program, which is never run');
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    if (!URL.canParse(text)) throw bad('is not a valid address');
    return parseAddress(new URL(text), bad);
  }
  if (/^[^/]+:/.test(text)) {
    if (!/^(?:[\w.-]+@)?[\w[][\w.:[\]-]*:[^-]/.test(text)) throw bad('is not a valid address');
    return { kind: 'remote', text, shown: text, credentials: undefined };
  }
  return localUrl(resolve(text));
}

function parseAddress(url: URL, bad: (why: string) => CroftError): RepositoryUrl {
  switch (url.protocol) {
    case 'file:':
      if (url.host !== '' && url.host !== 'localhost') throw bad('is a file address of another machine');
      return localUrl(fileURLToPath(new URL(`file://${url.pathname}`)));
    case 'http:':
    case 'https:':
    case 'git:':
    case 'ssh:':
      return remoteUrl(url, bad);
    default:
      throw bad('is of a kind that is not fetched');
  }
}

function remoteUrl(url: URL, bad: (why: string) => CroftError): RepositoryUrl {
  if (url.hostname === '' || url.hostname.startsWith('-')) throw bad('has no valid host');
  const credentials = { username: decodeURIComponent(url.username), password: new Secret(decodeURIComponent(url.password)) };
  const web = url.protocol === 'https:' || url.protocol === 'http:';
  const clean = new URL(url);
  clean.password = '';
  if (web) clean.username = '';
  if (clean.username.startsWith('-')) throw bad('has no valid user');
  const shown = new URL(clean);
  shown.search = '';
  shown.hash = '';
  return { kind: 'remote', text: clean.href, shown: shown.href, credentials: web && url.username !== '' ? credentials : undefined };
}

function localUrl(path: string): RepositoryUrl {
  return { kind: 'local', text: path, shown: path };
}

/** The text without whatever may be a credential: user and password of addresses, and queries. */
export function redacted(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^/\s'"]*@/gi, '$1').replace(/\b(https?:\/\/[^\s?'"]+)\?[^\s'"]*/gi, '$1');
}

/**
 * The address of a submodule as its parent's `.gitmodules` gives it: `./` and `../` begin at the parent's address. The
 * parent's credentials go along to the same host only, and a repository from elsewhere cannot point at paths of this machine.
 */
export function submoduleUrl(parent: RepositoryUrl, text: string): RepositoryUrl {
  const child = parseRepositoryUrl(/^\.\.?(?:\/|$)/.test(text) ? joined(parent, text) : text);
  if (child.kind === 'local') {
    if (parent.kind === 'local' && (text.startsWith('.') || /^(?:\/|file:)/.test(text))) return child;
    throw new CroftError('invalid', `submodule address ${JSON.stringify(redacted(text))} of ${parent.shown} is a path of this machine`, {
      hint: 'Correct the address in .gitmodules, or build without submodules.',
    });
  }
  if (parent.kind === 'local' || child.credentials || originOf(child) !== originOf(parent)) return child;
  return { ...child, credentials: parent.credentials };
}

function joined(parent: RepositoryUrl, relative: string): string {
  const [, root = '', path = ''] = /^([a-z]+:\/\/[^/]+|[^/]+:|)(.*)$/s.exec(parent.text) ?? [];
  const parts = path.split('/').filter((part) => part !== '');
  for (const part of relative.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) {
      throw new CroftError('invalid', `submodule address ${JSON.stringify(relative)} climbs above its parent ${parent.shown}`);
    }
  }
  return `${root}${path.startsWith('/') ? '/' : ''}${parts.join('/')}`;
}

function originOf(url: RepositoryUrl): string | undefined {
  return URL.canParse(url.text) ? new URL(url.text).origin : undefined;
}

/** What a repository at an address is called where nobody says it: the end of the address, whatever that holds. */
export function suggestedName({ shown }: Pick<RepositoryUrl, 'shown'>): string {
  const last = basename(shown.replace(/[/\\]+$/, '').replace(/\.git$/, ''));
  const name = last
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 60);
  return name === '' ? 'repository' : name;
}
