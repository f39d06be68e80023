/** Who the reader is here, the SSH keys by which they are let in, and how other programs sign in. */
import { html } from 'hono/html';
import type { RoleName } from '@croft/protocol/api';
import type { SshDoor, SshKeyView } from '@croft/protocol/ssh';
import { bdi, instant, plain, type Html } from '@croft/web/html/markup';
import { copyLine } from './session-parts.ts';
import { listTable, section } from './list-table.ts';

export interface AccountView {
  readonly who: { readonly name: string; readonly role: RoleName; readonly repos: readonly string[]; readonly via: string };
  /** Undefined for those who may have none. */
  readonly keys: readonly SshKeyView[] | undefined;
  /** Undefined where people do not come in by SSH. */
  readonly door: SshDoor | undefined;
  /** Where this farm is found. */
  readonly origin: string;
  readonly now: number;
  /** What has just been done. */
  readonly told?: string | undefined;
}

const vias: Readonly<Record<string, string>> = {
  session: 'signed in with a token in this browser',
  token: 'by a token',
  local: 'as the user who runs this farm, on its own machine',
  nothing: 'not signed in',
};

export function accountPage(view: AccountView): Html {
  const { who } = view;
  return html`<div id="account" class="farm">
<header class="head"><h1>${bdi(who.name)}</h1><ul class="meta"><li>role ${who.role}</li><li>${vias[who.via] ?? who.via}</li>${who.repos.length === 0 ? '' : html`<li>limited to ${bdi(who.repos.join(', '))}</li>`}</ul></header>
${view.keys ? keys(view.keys, view) : html`<p class="nothing">Machines are lent to developers, operators and admins; as ${who.role} you need no keys.</p>`}
${door(view)}
${view.keys ? gomote(view) : ''}
</div>`;
}

function keys(all: readonly SshKeyView[], { now, told }: AccountView): Html {
  const rows = all.map(({ id, name, type, fingerprint, addedAt, lastUsedAt }) => [
    bdi(name),
    html`${bdi(type)} <code>${plain(fingerprint)}</code>`,
    html`${instant(addedAt, now)}`,
    lastUsedAt === undefined ? html`<span class="dim">never</span>` : instant(lastUsedAt, now),
    html`<form method="post" action="/account/keys/${id}/remove" hx-post="/account/keys/${id}/remove" hx-target="#account" hx-swap="morph"><button class="quiet" aria-label="Remove the key ${plain(name)}">Remove</button></form>`,
  ]);
  return html`${section('SSH keys', all.length, [listTable(['Name', 'Key', 'Added', 'Last used', ''], rows, 'SSH keys'), html`None yet. With one you enter your sessions by <code>ssh</code>, <code>scp</code>, <code>rsync</code> and from your editor. <code>ssh-keygen -t ed25519</code> makes one.`])}
<form class="borrow" id="add-key" method="post" action="/account/keys" hx-post="/account/keys" hx-target="#account" hx-swap="morph">
<label class="wide">Public key <textarea name="key" rows="3" required maxlength="16384" spellcheck="false" autocomplete="off" placeholder="ssh-ed25519 AAAA… you@laptop"></textarea></label>
<label>Name <input name="name" size="26" maxlength="100" autocomplete="off" placeholder="as the key's comment says"></label>
<button class="primary">Add key</button>
<p class="dim">The contents of a file that ends in <code>.pub</code>, never the other one.</p>
<p role="status">${told === undefined ? '' : bdi(told)}</p></form>`;
}

function door({ door: at }: AccountView): Html {
  if (!at) return html``;
  return html`<section aria-labelledby="door"><h2 id="door">SSH door</h2><p>All sessions are entered at ${bdi(at.host)}, port ${at.port}; the page of each has its line. The first time, ssh shows one of these fingerprints:</p>
<ul class="keys">${at.hostKeys.map(({ key, fingerprint }) => html`<li>${bdi(key.split(' ', 1)[0] ?? '')} <code>${plain(fingerprint)}</code></li>`)}</ul></section>`;
}

function gomote({ origin, who }: AccountView): Html {
  const via =
    who.via === 'local'
      ? html`On this machine it needs no sign-in.`
      : html`It asks for a token once, which somebody who runs this farm makes with <code>croft token create</code>.`;
  return html`<section aria-labelledby="gomote"><h2 id="gomote">gomote</h2><p>Borrow and use machines from a terminal: one file for any Node from 20 on. ${via}</p>
${copyLine(`curl -fsSO ${origin}/dist/gomote/gomote && chmod +x gomote`, 'the line to get gomote')}
${who.via === 'local' ? '' : copyLine(`./gomote login ${origin}`, 'the line to sign in')}
${copyLine(`./gomote --server ${origin} create BUILDER`, 'the line to borrow a machine')}</section>`;
}
