/** What the attempt has left behind: files to download, and plainly what is missing, was refused or has gone. And its caches. */
import { html } from 'hono/html';
import type { ArtifactFileView, ArtifactView, CacheUseView } from '@croft/protocol/artifacts';
import { formatBytes } from '@croft/web/html/format';
import { bdi, instant, plural, type Html } from '@croft/web/html/markup';

/** More are in the API. */
export const shownFiles = 100;

export function artifactList(artifacts: readonly ArtifactView[], now: number): Html {
  if (artifacts.length === 0) return html``;
  return html`<section class="artifacts" aria-labelledby="artifacts-head"><h2 id="artifacts-head">Artifacts</h2><ul>${artifacts.map((artifact) => row(artifact, now))}</ul></section>`;
}

/** What the attempt began with, and what it hands on. */
export function cacheList(caches: readonly CacheUseView[]): Html {
  if (caches.length === 0) return html``;
  return html`<section class="artifacts" aria-labelledby="caches-head"><h2 id="caches-head">Caches</h2><ul>${caches.map(cacheRow)}</ul></section>`;
}

function cacheRow({ attempt, name, key, restored, savedBytes, why }: CacheUseView): Html {
  const older = restored && restored.key !== key ? html` of <code>${bdi(restored.key)}</code>` : '';
  return html`<li id="cache-${attempt}-${name}"><strong>${bdi(name)}</strong> <code>${bdi(key)}</code>
<span class="dim">${restored ? html`restored ${formatBytes(restored.bytes)}${older}` : 'nothing to restore'}${savedBytes === undefined ? '' : `, saved ${formatBytes(savedBytes)}`}</span>
${why === undefined ? '' : html`<span class="warn">${bdi(why)}</span>`}</li>`;
}

function row(artifact: ArtifactView, now: number): Html {
  const { attempt, name, state, fileList, files } = artifact;
  const head = html`<strong>${bdi(name)}</strong> ${stateText(artifact, now)}`;
  if (state !== 'kept') return html`<li id="artifact-${attempt}-${name}" class="${state}">${head}</li>`;
  const left = files - fileList.length;
  return html`<li id="artifact-${attempt}-${name}" class="kept"><details data-keep${files <= 5 ? html` open` : ''}><summary>${head}</summary>
<ul>${fileList.map(fileRow)}</ul>${left > 0 ? html`<p class="dim">and ${plural(left, 'file')} more: <code>croft artifacts --get</code></p>` : ''}</details></li>`;
}

function fileRow({ path, bytes, url }: ArtifactFileView): Html {
  return html`<li><a href="${url}" download>${bdi(path)}</a> <span class="dim num">${formatBytes(bytes)}</span></li>`;
}

function stateText({ state, files, bytes, keepUntil, why }: ArtifactView, now: number): Html {
  switch (state) {
    case 'kept':
      return html`<span class="dim">${plural(files, 'file')}, ${formatBytes(bytes)}, ${keepUntil === undefined ? '' : html`kept until ${instant(keepUntil, now)}`}</span>`;
    case 'missing':
      return html`<span class="warn">missing: nothing matched its paths</span>`;
    case 'refused':
      return html`<span class="warn">not kept: ${bdi(why ?? '')}</span>`;
    case 'expired':
      return html`<span class="dim">${plural(files, 'file')}, ${formatBytes(bytes)}, removed by retention</span>`;
    default:
      return state satisfies never;
  }
}
