/** Signing in with a token, and what is shown when something went wrong. */
import { html } from 'hono/html';
import { bdi, type Html } from '@croft/web/html/markup';
import { notice } from '@croft/web/html/document';
import type { FailureView } from '../routes/context.ts';

export interface SignInView {
  /** Path to go on to afterwards. */
  readonly to: string;
  readonly mistake?: string | undefined;
}

export function signInPage({ to, mistake }: SignInView): Html {
  return html`<section class="card">
<h1>Sign in</h1>
${mistake === undefined ? '' : notice('error', bdi(mistake))}
<form method="post" action="/signin">
<input type="hidden" name="to" value="${to}">
<label for="token">Token</label>
<input id="token" name="token" type="password" required autocomplete="current-password" autocapitalize="off" spellcheck="false" aria-describedby="token-help">
<p id="token-help" class="dim">Somebody who runs this farm makes one with <code>croft token create</code>. It is kept in this browser as a session cookie only.</p>
<button class="primary">Sign in</button>
</form>
</section>`;
}

const titles: Readonly<Record<number, string>> = {
  400: 'This request makes no sense',
  401: 'Who are you?',
  403: 'Not allowed',
  404: 'Not here',
  409: 'That does not fit any more',
  413: 'More than is read',
  429: 'Too much at once',
  500: 'Something is wrong inside the farm',
  503: 'Not at the moment',
  504: 'That took too long',
};

export function failureTitle(status: number): string {
  return titles[status] ?? `Error ${status}`;
}

export function failurePage({ status, message, hint, id }: FailureView): Html {
  return html`<section class="card failure">
<p class="status">${status}</p>
<h1>${failureTitle(status)}</h1>
<p>${bdi(message)}</p>
${hint === undefined ? '' : html`<p class="hint">${bdi(hint)}</p>`}
${id === undefined ? '' : html`<p class="dim">In the farm’s log under <code>${bdi(id)}</code>.</p>`}
<p><a href="/">Builds</a> · <a href="/farm">Farm</a> · <a href="/sessions">Sessions</a>${status === 401 ? html` · <a href="/signin">Sign in</a>` : ''}</p>
</section>`;
}
