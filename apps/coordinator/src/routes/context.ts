/** What every handler finds in its context, and what the pages must offer to be mounted. */
import type { Context, Hono } from 'hono';
import type { HtmlEscapedString } from 'hono/utils/html';
import type { Connection } from '@croft/web/connection';
import type { Identity } from '@croft/web/identity';
import type { Capabilities } from '../capabilities.ts';

export interface AppEnv {
  Bindings: { readonly connection: Connection };
  Variables: {
    /** Who asks. */
    who: Identity;
    /** Limited to the repositories that this caller may see: handlers use these and never the coordinator's own. */
    capabilities: Capabilities;
    /** `https://farm.example`, without a slash at the end. */
    origin: string;
    behindProxy: boolean;
  };
}

export type AppContext = Context<AppEnv>;
type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

export interface Pages {
  /** Mounted after everything else. Each request that gets here comes from somebody who may read, `/static/*` from anybody. */
  readonly routes: Hono<AppEnv>;
  /** A form that posts `token` and `to` to `/signin`; `mistake` says why the last try failed. */
  signIn(view: { readonly to: string; readonly mistake?: string | undefined }): Html;
  failure(view: FailureView): Html;
}

export interface FailureView {
  readonly status: number;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Under which an internal error is found in the log. */
  readonly id?: string | undefined;
  /** Who asked, where that is known. */
  readonly who?: Identity | undefined;
}
