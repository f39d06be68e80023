/**
 * What forges send when somebody has pushed. The headers tell which forge speaks, a signature over the body or a shared token whether
 * it knows the secret. Only names of branches are taken from it: they say where to look first, and the truth is fetched.
 */
import { createHmac } from 'node:crypto';
import { sameSecret } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import { isBranchName } from './branch-name.ts';

export interface Hook {
  readonly forge: 'generic' | 'github' | 'gitlab' | 'gitea';
  /** As the forge calls what has happened. */
  readonly event: string;
  /** How it proves that it knows the secret: what stands in a header, and what it is made of. */
  readonly proof: { readonly header: string; readonly value: string; readonly made: 'secret' | 'mac' | 'sha256=mac' };
  /** The JSON is a field of a form. */
  readonly form: boolean;
}

export type HookNews =
  /** Empty: it does not say which. */
  { readonly kind: 'pushed'; readonly branches: readonly string[] } | { readonly kind: 'ignored'; readonly why: string };

export interface SignedBody {
  /** HMAC-SHA256 of all of it, hex. */
  readonly mac: string;
  /** Undefined when it is longer than what is kept. */
  readonly text: string | undefined;
}

/** No forge sends more than that. */
const limitBytes = 25 * 1024 * 1024;
/** So much of a stranger's body is held at most; the rest is only hashed. */
const keptBytes = 1024 * 1024;

/** Gitea and its descendants also sign as GitHub does, so they are asked first. */
export function hookOf(headers: Headers): Hook {
  const value = (header: string): string => headers.get(header) ?? '';
  const form = /^application\/x-www-form-urlencoded\s*(;|$)/i.test(value('content-type'));
  const from = (forge: Hook['forge'], event: string, [header, made]: readonly [string, Hook['proof']['made']]): Hook => ({
    forge,
    event: value(event).slice(0, 60),
    proof: { header, value: value(header), made },
    form: form && forge !== 'generic',
  });
  if (headers.has('x-forgejo-event')) return from('gitea', 'x-forgejo-event', ['X-Forgejo-Signature', 'mac']);
  if (headers.has('x-gitea-event')) return from('gitea', 'x-gitea-event', ['X-Gitea-Signature', 'mac']);
  if (headers.has('x-gitlab-event')) return from('gitlab', 'x-gitlab-event', ['X-Gitlab-Token', 'secret']);
  if (headers.has('x-github-event')) return from('github', 'x-github-event', ['X-Hub-Signature-256', 'sha256=mac']);
  if (headers.has('x-croft-token')) return from('generic', 'x-croft-event', ['X-Croft-Token', 'secret']);
  return from('generic', 'x-croft-event', ['X-Croft-Signature-256', 'sha256=mac']);
}

/** Reads a body of which nothing is believed yet. @throws CroftError `too-large` */
export async function readSigned(body: AsyncIterable<Uint8Array> | null, secret: string): Promise<SignedBody> {
  const hmac = createHmac('sha256', secret);
  const kept: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.byteLength;
    if (bytes > limitBytes) throw new CroftError('too-large', `the body is larger than ${limitBytes} bytes`);
    hmac.update(part);
    if (bytes <= keptBytes) kept.push(part);
  }
  return { mac: hmac.digest('hex'), text: bytes <= keptBytes ? Buffer.concat(kept).toString('utf8') : undefined };
}

/** In constant time. */
export function proves({ proof: { value, made } }: Hook, secret: string, { mac }: SignedBody): boolean {
  const expected = { secret, mac, 'sha256=mac': `sha256=${mac}` } as const;
  return sameSecret(value, expected[made]);
}

/** What a body that was proved says. @throws CroftError `invalid` when it is not what that forge sends */
export function newsOf({ forge, event, form }: Hook, text: string | undefined): HookNews {
  const what = eventKinds[forge](event);
  if (what === 'ping') return { kind: 'ignored', why: 'this was a trial, and the secret is right' };
  if (what === 'other') return { kind: 'ignored', why: `"${event}" says nothing about commits` };
  if (text === undefined) return { kind: 'pushed', branches: [] };
  if (forge === 'generic' && !text.trimStart().startsWith('{')) return pushedRefs(linesOfReceive(text));
  const payload = parseObject(form ? (new URLSearchParams(text).get('payload') ?? '') : text);
  if (what === 'system' && payload['event_name'] !== 'push' && payload['object_kind'] !== 'push')
    return { kind: 'ignored', why: `"${String(payload['event_name']).slice(0, 60)}" says nothing about commits` };
  const { ref, ref_type: type } = payload;
  if (typeof ref !== 'string') return { kind: 'pushed', branches: [] };
  return pushedRefs([what === 'ref' ? `refs/${type === 'branch' ? 'heads' : 'tags'}/${ref}` : ref]);
}

type EventKind =
  | 'push'
  /** A branch or tag came or went; the name stands alone. */
  | 'ref'
  /** GitLab's for a whole server: the body says of what. */
  | 'system'
  | 'ping'
  | 'other';

const plainEvent = (event: string): EventKind => {
  if (event === 'create' || event === 'delete') return 'ref';
  return event === 'push' || event === 'ping' ? event : 'other';
};

const eventKinds: Readonly<Record<Hook['forge'], (event: string) => EventKind>> = {
  generic: () => 'push',
  github: plainEvent,
  gitea: plainEvent,
  gitlab: (event) => (event === 'Push Hook' ? 'push' : event === 'System Hook' ? 'system' : 'other'),
};

/** What git gives a `post-receive` hook: `OLD NEW REF`, line by line. */
function linesOfReceive(text: string): string[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [, ref] = /^(?:[0-9a-f]{40}|[0-9a-f]{64}) (?:[0-9a-f]{40}|[0-9a-f]{64}) (refs\/.+)$/.exec(line) ?? [];
    if (ref === undefined)
      throw new CroftError('invalid', 'the body is neither JSON nor what git gives a post-receive hook', {
        hint: 'Send nothing, {"ref": "refs/heads/BRANCH"}, or lines of OLD NEW REF.',
      });
    return ref;
  });
}

function pushedRefs(refs: readonly string[]): HookNews {
  const prefix = 'refs/heads/';
  const heads = refs.filter((ref) => ref.startsWith(prefix)).map((ref) => ref.slice(prefix.length));
  if (refs.length > 0 && heads.length === 0) return { kind: 'ignored', why: 'only branches are built, and this is none' };
  return { kind: 'pushed', branches: heads.every(isBranchName) ? heads : [] };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new CroftError('invalid', 'the body is not a JSON object', { hint: 'Let the forge send its events as application/json.' });
}
