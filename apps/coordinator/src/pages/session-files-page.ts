/** The files of a session's machine: one directory of it, with what can be fetched from there and sent to there. */
import { html } from 'hono/html';
import type { SessionView } from '@croft/protocol/sessions';
import { formatBytes } from '@croft/web/html/format';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import type { Directory } from '../sessions/session-files.ts';
import { listTable } from './list-table.ts';

export interface FilesView {
  readonly session: Pick<SessionView, 'id' | 'url'>;
  /** Below the work directory; empty is that itself. */
  readonly dir: string;
  /** What cannot be shown is told. */
  readonly directory: Directory | { readonly trouble: string };
  readonly now: number;
}

export function filesFragment(view: FilesView): Html {
  const { session, dir, directory } = view;
  const at = `${session.url}/files`;
  const here = new URLSearchParams({ dir }).toString();
  return html`<section id="files" class="files farm" aria-labelledby="files-title" hx-get="${at}?${here}" hx-trigger="croft:files" hx-ext="morph" hx-swap="morph">
<div class="tools"><h2 id="files-title">Files</h2>${trail(view)}<span class="archive"><a href="${dirUrl(session.url, dir)}" ${swap(session.url, dir)} aria-label="Refresh the files">Refresh</a> <a href="${at}/archive?${here}" download>This directory as tar.gz</a></span></div>
${'trouble' in directory ? html`<p class="nothing">${bdi(directory.trouble)}</p>` : list(directory, view)}
<form class="borrow" method="post" enctype="multipart/form-data" action="${at}?${here}" data-upload="/api/v1/sessions/${session.id}/machine/write" data-dir="${dir}">
<label>Files to put here <input type="file" name="file" multiple></label>
<button class="primary">Upload</button>
<span class="dim drop" hidden>or drop them anywhere on this list</span>
<p class="sending"><progress max="1" value="0" aria-label="Upload" hidden></progress><span role="status"></span></p>
</form></section>`;
}

/** Each directory on the way, as a link. */
function trail({ session, dir }: FilesView): Html {
  const parts = dir === '' ? [] : dir.split('/');
  const link = (to: string, name: Html | string): Html => html`<a href="${dirUrl(session.url, to)}" ${swap(session.url, to)}>${name}</a>`;
  const steps = parts.map((part, index) => html` / ${link(parts.slice(0, index + 1).join('/'), bdi(part))}`);
  return html`<nav class="trail" aria-label="Directory">${link('', 'work directory')}${steps}</nav>`;
}

function list({ entries, isCut }: Directory, { session, dir, now }: FilesView): Html {
  if (entries.length === 0) return html`<p class="nothing">Nothing is here yet.</p>`;
  const rows = entries.map(({ name, isDir, perm, sizeBytes, mtimeAt }) => {
    const path = [dir, name.replace(/\/$/, '')].filter(Boolean).join('/');
    return [
      isDir
        ? html`<a href="${dirUrl(session.url, path)}" ${swap(session.url, path)}>${bdi(name)}</a>`
        : perm.startsWith('-')
          ? html`<a href="${session.url}/files/raw?${new URLSearchParams({ path }).toString()}" download>${bdi(name)}</a>`
          : bdi(name),
      html`<code>${plain(perm)}</code>`,
      sizeBytes === undefined ? html`<span class="dim">–</span>` : formatBytes(sizeBytes),
      mtimeAt === undefined ? html`<span class="dim">–</span>` : instant(mtimeAt, now),
    ];
  });
  const rest = isCut ? html`<p class="dim">More than ${plural(entries.length, 'entry', 'entries')}; the archive has all.</p>` : '';
  return html`${listTable(['Name', 'Mode', 'Size', 'Changed'], rows, 'Files')}${rest}`;
}

function dirUrl(url: string, dir: string): string {
  return `${url}?${new URLSearchParams({ dir }).toString()}#files`;
}

function swap(url: string, dir: string): Html {
  return html`hx-get="${url}/files?${new URLSearchParams({ dir }).toString()}" hx-target="#files" hx-swap="outerHTML"`;
}
