/**
 * The frame of every page: head, navigation, help, the place for notices. No inline script or style anywhere, so that the
 * content security policy can forbid them.
 */
import { html, raw } from 'hono/html';
import type { RoleName } from '@croft/protocol/api';
import type { AssetUrls } from '../static/assets.ts';
import { glyphs } from './state.ts';
import { bdi, plain, type Html } from './markup.ts';

export interface Frame {
  readonly assets: AssetUrls;
  readonly now: number;
  /** What this browser was set to by hand; undefined follows its preference. */
  readonly theme: 'dark' | 'light' | undefined;
  readonly who: { readonly name: string; readonly role: RoleName | undefined; readonly via?: string } | undefined;
}

export interface Page {
  readonly title: string;
  readonly place: 'grid' | 'repos' | 'builders' | 'farm' | 'sessions' | 'account' | 'audit' | 'build' | 'search' | 'other';
  readonly body: Html;
  /** Also loads the log viewer. */
  readonly withLog?: boolean;
  /** Also loads the terminal, which needs `terminalPagePolicy`. */
  readonly withTerminal?: boolean;
  /** Follows the farm's changes. */
  readonly live?: boolean;
  /** What stands in the search box. */
  readonly searched?: string;
  /** Shown beside the navigation. */
  readonly tools?: Html;
}

/** htmx may neither evaluate strings nor add styles. */
const htmxConfig = JSON.stringify({
  allowEval: false,
  includeIndicatorStyles: false,
  selfRequestsOnly: true,
  historyEnabled: false,
  allowScriptTags: false,
});

export function document({ assets, now, theme, who }: Frame, page: Page): Html {
  return html`${raw('<!doctype html>')}
<html lang="en" data-now="${now}" ${theme ? html`data-theme="${theme}"` : ''}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="${theme ?? 'light dark'}">
<meta name="htmx-config" content="${htmxConfig}">
<title>${plain(page.title)} · Croft</title>
<link rel="icon" href="${assets['icon.svg']}" type="image/svg+xml">
<link rel="stylesheet" href="${assets['croft.css']}">
<script src="${assets['croft.js']}" defer></script>
${page.withLog ? html`<script src="${assets['log.js']}" defer></script>` : ''}
${page.withTerminal ? html`<link rel="stylesheet" href="${assets['terminal.css']}"><script src="${assets['terminal.js']}" defer></script>` : ''}
</head>
<body class="at-${page.place}" ${page.live ? html`data-events="/api/v1/events"` : ''}>
${glyphs}
<a class="skip" href="#main">Skip to content</a>
<header class="top">
  <a class="brand" href="/"><svg aria-hidden="true" viewBox="0 0 16 16"><path d="M1 1h6v6H1zM9 9h6v6H9z"/><path d="M9 1h6v6H9zM1 9h6v6H1z" opacity=".45"/></svg>Croft</a>
  <nav aria-label="Places">${link('/', 'Builds', page.place === 'grid')}${link('/repos', 'Repositories', page.place === 'repos')}${link('/builders', 'Builders', page.place === 'builders')}${link('/farm', 'Farm', page.place === 'farm')}${link('/sessions', 'Sessions', page.place === 'sessions')}${who?.role === 'admin' ? link('/audit', 'Audit', page.place === 'audit') : ''}</nav>
  ${who?.role ? searchBox(page) : ''}
  ${page.tools ?? ''}
  <div class="end">
    <span id="line" class="line" role="status" hidden>reconnecting…</span>
    <button type="button" class="quiet" id="theme" hidden>Theme: auto</button>
    <button type="button" class="quiet" id="help" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" hidden>?</button>
    ${whoText(who)}
  </div>
</header>
<div id="notice" role="alert"></div>
<main id="main" tabindex="-1">${page.body}</main>
</body>
</html>`;
}

/** A page with a log has a search of its own under `/`. */
function searchBox({ searched = '', withLog = false }: Page): Html {
  return html`<form class="search" role="search" method="get" action="/search"><input type="search" name="q" value="${plain(searched)}" maxlength="200" autocomplete="off" spellcheck="false" placeholder="Search" aria-label="Search builds, commits, builders and repositories" title="Builds, commits, builders, repositories" data-key="${withLog ? 'g s' : '/'}" data-key-text="search the farm"></form>`;
}

/** A sentence above the content: why nothing starts, or what went wrong. */
export function notice(kind: 'warning' | 'error' | 'info', text: Html | string): Html {
  return html`<div class="notice ${kind}"><strong>${{ warning: 'On hold', error: 'Failed', info: 'Note' }[kind]}</strong> <span>${text}</span></div>`;
}

function link(href: string, text: string, here: boolean): Html {
  return html`<a href="${href}" ${here ? raw('aria-current="page"') : ''}>${text}</a>`;
}

function whoText(who: Frame['who']): Html {
  if (!who?.role) return html`<a class="who" href="/signin">Sign in</a>`;
  const out = who.via === 'session' ? html`<form method="post" action="/signout"><button class="quiet">Sign out</button></form>` : '';
  return html`<a class="who" href="/account" title="you are ${plain(who.name)}, ${who.role}">${bdi(who.name)} <small>${who.role}</small></a>${out}`;
}
