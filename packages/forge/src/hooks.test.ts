import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { hookOf, newsOf, proves, readSigned, type Hook, type HookNews } from './hooks.ts';

const secret = "It's a Secret to Everybody";
const mac = (body: string): string => createHmac('sha256', secret).update(body).digest('hex');

async function* inParts(body: string, bytes = 7): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(body);
  for (let from = 0; from < all.length; from += bytes) yield all.subarray(from, from + bytes);
}

const accepts = async (headers: Record<string, string>, body: string): Promise<boolean> =>
  proves(hookOf(new Headers(headers)), secret, await readSigned(inParts(body), secret));

const newsFrom = (headers: Record<string, string>, body: string | undefined): HookNews => newsOf(hookOf(new Headers(headers)), body);
const push = (ref: string): string => JSON.stringify({ ref, before: '0'.repeat(40), after: '1'.repeat(40) });
const pushed = (...branches: string[]): HookNews => ({ kind: 'pushed', branches });

describe('who knows the secret', () => {
  test('GitHub’s own example is accepted', async () => {
    const signature = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17';
    assert.ok(await accepts({ 'x-github-event': 'push', 'x-hub-signature-256': signature }, 'Hello, World!'));
  });

  for (const [what, headers] of Object.entries<(body: string) => Record<string, string>>({
    GitHub: (body) => ({ 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${mac(body)}` }),
    GitLab: () => ({ 'x-gitlab-event': 'Push Hook', 'x-gitlab-token': secret }),
    'Gitea, which also looks like GitHub,': (body) => ({
      'x-gitea-event': 'push',
      'x-github-event': 'push',
      'x-gitea-signature': mac(body),
    }),
    'Forgejo, which also looks like Gitea,': (body) => ({
      'x-forgejo-event': 'push',
      'x-gitea-event': 'push',
      'x-forgejo-signature': mac(body),
    }),
    'a program that signs': (body) => ({ 'x-croft-signature-256': `sha256=${mac(body)}` }),
    'a program that shows a token': () => ({ 'x-croft-token': secret }),
  })) {
    test(`${what} is believed with a right proof, and not with a wrong, an empty or no proof`, async () => {
      const body = push('refs/heads/main');
      const right = headers(body);
      assert.equal(await accepts(right, body), true);
      const proof = Object.keys(right).find((name) => /token|signature/.test(name)) ?? '';
      for (const wrong of ['', mac(body).slice(1), `sha256=${mac(`${body} `)}`, `${right[proof]}0`]) {
        assert.equal(await accepts({ ...right, [proof]: wrong }, body), false, wrong);
      }
      const { [proof]: _, ...without } = right;
      assert.equal(await accepts(without, body), false);
    });
  }

  test('another forge’s way of proving does not do', async () => {
    assert.equal(await accepts({ 'x-github-event': 'push', 'x-croft-token': secret, 'x-gitlab-token': secret }, '{}'), false);
  });

  test('a long body is hashed and not kept, one without end is refused', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, ' ');
    const many = async function* (count: number): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < count; n += 1) yield megabyte;
    };
    const long = await readSigned(many(3), secret);
    assert.deepEqual(long, { mac: mac(' '.repeat(3 * megabyte.length)), text: undefined });
    await assert.rejects(readSigned(many(26), secret), (error) => isCode(error, 'too-large'));
    assert.deepEqual(await readSigned(null, secret), { mac: mac(''), text: '' });
  });
});

describe('what it says', () => {
  const github = (event: string): Record<string, string> => ({ 'x-github-event': event });

  test('a push names its branch, also one with slashes', () => {
    assert.deepEqual(newsFrom(github('push'), push('refs/heads/feature/a b'.replace(' ', '-'))), pushed('feature/a-b'));
    assert.deepEqual(newsFrom({ 'x-gitlab-event': 'Push Hook' }, push('refs/heads/main')), pushed('main'));
    assert.deepEqual(newsFrom({ 'x-gitlab-event': 'System Hook' }, '{"event_name":"push","ref":"refs/heads/main"}'), pushed('main'));
    assert.deepEqual(newsFrom({ 'x-gitea-event': 'create' }, '{"ref":"new","ref_type":"branch"}'), pushed('new'));
  });

  test('a form holds it in a field', () => {
    const form = { ...github('push'), 'content-type': 'application/x-www-form-urlencoded' };
    assert.deepEqual(newsFrom(form, new URLSearchParams({ payload: push('refs/heads/main') }).toString()), pushed('main'));
  });

  test('trials, tags and other events change nothing', () => {
    for (const [headers, body] of [
      [github('ping'), '{"zen":"Keep it logically awesome."}'],
      [github('issues'), '{}'],
      [github('push'), push('refs/tags/v1')],
      [github('delete'), '{"ref":"v1","ref_type":"tag"}'],
      [{ 'x-gitlab-event': 'Tag Push Hook' }, '{}'],
      [{ 'x-gitlab-event': 'System Hook' }, '{"event_name":"user_create"}'],
    ] as const) {
      assert.equal(newsFrom(headers, body).kind, 'ignored', JSON.stringify(headers));
    }
  });

  test('a program says what git told its hook, or JSON, or nothing', () => {
    const [zero, one] = ['0'.repeat(40), '1'.repeat(64)];
    assert.deepEqual(
      newsFrom({}, `${zero} ${zero} refs/heads/a\n${one} ${one} refs/heads/b/c\n${zero} ${zero} refs/tags/t\n`),
      pushed('a', 'b/c'),
    );
    assert.deepEqual(newsFrom({}, ' {"ref":"refs/heads/main"}'), pushed('main'));
    assert.deepEqual(newsFrom({}, '{}'), pushed());
    assert.deepEqual(newsFrom({}, ''), pushed());
  });

  test('where a branch has no name that git would take, everything is looked at', () => {
    for (const name of ['../../etc', '-x', 'a b', 'a..b', 'x.lock', ''])
      assert.deepEqual(newsFrom({}, push(`refs/heads/${name}`)), pushed());
  });

  test('a body that was too long to keep still has everything looked at', () => {
    assert.deepEqual(newsFrom(github('push'), undefined), pushed());
  });

  test('no text does more than name branches or be refused', () => {
    const hooks: Hook[] = [github('push'), github('create'), { 'x-gitlab-event': 'System Hook' }, {}].map((headers) =>
      hookOf(new Headers(headers as Record<string, string>)),
    );
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.record({ ref: fc.oneof(fc.string(), fc.jsonValue()) }).map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...hooks), text, (hook, body) => {
        try {
          const news = newsOf(hook, body);
          assert.ok(news.kind === 'ignored' || news.branches.every((name) => /^[^\s~^:?*[\\]+$/.test(name)));
        } catch (error) {
          assert.ok(isCode(error, 'invalid'));
        }
      }),
    );
  });
});
