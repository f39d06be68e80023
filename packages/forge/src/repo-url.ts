/** Addresses of repositories: what git may be given, how they are shown, how a submodule's is found from its parent's. */
import { CroftError } from '@croft/runtime/errors';

/** @throws CroftError `invalid` for what git would take as an option or as a command to run. */
export function checkUrl(url: string): string {
  const refused = url.startsWith('-') || /^[a-z]+::/i.test(url) || /[\0\r\n]/.test(url);
  if (refused) throw new CroftError('invalid', `"${redactUrl(url)}" is not an address of a repository`, { hint: 'Give a path, or an https, ssh or git address.' });
  return url;
}

/** Without user and password, wherever addresses stand in the text. */
export function redactUrl(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]*@/gi, '$1');
}

export function isLocal(url: string): boolean {
  return url.startsWith('/') || url.startsWith('file://');
}

/** git-submodule(1): an address that begins with `./` or `../` is relative to the parent's. A remote parent cannot name local paths. */
export function submoduleUrl(parent: string, url: string): string {
  const found = /^\.\.?\//.test(url) ? joinUrl(parent, url) : url;
  if (isLocal(found) && !isLocal(parent)) throw new CroftError('invalid', `submodule address "${redactUrl(url)}" points at a local path`);
  return checkUrl(found);
}

function joinUrl(parent: string, relative: string): string {
  let base = parent.replace(/\/+$/, '');
  let rest = relative;
  for (;;) {
    if (rest.startsWith('./')) rest = rest.slice(2);
    else if (rest.startsWith('../')) {
      rest = rest.slice(3);
      const cut = Math.max(base.lastIndexOf('/'), base.lastIndexOf(':'));
      if (cut <= 0) throw new CroftError('invalid', `submodule address "${relative}" leaves its parent's`);
      base = base.slice(0, cut);
    } else return `${base}/${rest}`;
  }
}
