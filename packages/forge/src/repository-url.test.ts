import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseRepositoryUrl, redacted, submoduleUrl } from './repository-url.ts';

test('paths and file addresses are local, the rest is remote', () => {
  for (const [text, expected] of [
    ['/srv/repo', '/srv/repo'],
    ['file:///srv/with%20space', '/srv/with space'],
    ['/srv/../srv/repo/', '/srv/repo'],
    ['./relative', `${process.cwd()}/relative`],
  ] as const) {
    assert.deepEqual(parseRepositoryUrl(text), { kind: 'local', text: expected, shown: expected });
  }
  for (const text of ['https://host/a.git', 'ssh://git@host:22/a', 'git@host:a/b.git', 'host:a', 'git://host/a', '[::1]:a']) {
    const url = parseRepositoryUrl(text);
    assert.deepEqual([url.kind, url.text], ['remote', text]);
  }
});

test('what git would take for an option, a program or another transport is refused', () => {
  for (const text of [
    '',
    '-u',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c id',
    'fd::7',
    'EXT::x',
    'ftp://host/x',
    'rsync://host/x',
    'https://',
    'a\nb',
    'ssh://-oProxyCommand=id/x',
    '-host:x',
    'host:-x',
    'ssh://-u@host/x',
    'file://other/x',
    'http::x',
    'a\0b',
  ]) {
    assert.throws(() => parseRepositoryUrl(text), { code: 'invalid', hint: /Give a path/ }, JSON.stringify(text));
  }
});

test('credentials are taken out of web addresses, passwords out of all', () => {
  const url = parseRepositoryUrl('https://me:pass%2Fword@host/a.git?private_token=abc');
  assert.ok(url.kind === 'remote' && url.credentials);
  assert.deepEqual([url.text, url.shown], ['https://host/a.git?private_token=abc', 'https://host/a.git']);
  assert.deepEqual([url.credentials.username, url.credentials.password.reveal()], ['me', 'pass/word']);
  assert.doesNotMatch(JSON.stringify(url), /pass.word/);
  assert.equal(parseRepositoryUrl('ssh://git:secret@host/a').text, 'ssh://git@host/a');
});

test('no user information or query survives redaction, wherever the address stands', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9:@%._~-]{1,12}$/);
  fc.assert(
    fc.property(word, word, fc.constantFrom('https', 'http', 'ssh'), (user, password, scheme) => {
      const text = redacted(`fatal: unable to access '${scheme}://${user}:${password}SECRET@host/x.git/': no`);
      assert.doesNotMatch(text, /SECRET/);
      assert.match(text, /:\/\/host\/x\.git/);
    }),
  );
  assert.equal(redacted('see https://host/x?token=abc, or'), 'see https://host/x or');
});

test('addresses of submodules follow from the parent', () => {
  const from = (parent: string, text: string): string => submoduleUrl(parseRepositoryUrl(parent), text).text;
  assert.equal(from('https://host/team/outer.git', '../lib.git'), 'https://host/team/lib.git');
  assert.equal(from('https://host/team/outer.git', '../../other/lib'), 'https://host/other/lib');
  assert.equal(from('git@host:team/outer.git', '../lib.git'), 'git@host:team/lib.git');
  assert.equal(from('git@host:outer.git', '../lib.git'), 'git@host:lib.git');
  assert.equal(from('/srv/outer', '../lib'), '/srv/lib');
  assert.equal(from('/srv/outer', './lib'), '/srv/outer/lib');
  assert.equal(from('/srv/outer', 'file:///elsewhere'), '/elsewhere');
  assert.equal(from('/srv/outer', 'https://host/lib'), 'https://host/lib');
});

test('a repository from elsewhere cannot point at this machine or above its host', () => {
  const parent = parseRepositoryUrl('https://host/outer.git');
  for (const text of ['/etc', 'file:///etc', 'relative', '../../../x', 'ext::id', '-u']) {
    assert.throws(() => submoduleUrl(parent, text), { code: 'invalid' }, text);
  }
});

test("the parent's credentials go along to its own host only", () => {
  const parent = parseRepositoryUrl('https://me:secret@host/outer.git');
  const user = (text: string): string | undefined => {
    const url = submoduleUrl(parent, text);
    return url.kind === 'remote' ? url.credentials?.username : undefined;
  };
  assert.deepEqual(['../lib', 'https://host/lib', 'https://you:other@host/lib'].map(user), ['me', 'me', 'you']);
  assert.deepEqual(['https://elsewhere/lib', 'http://host/lib', 'https://host:444/lib', 'git@host:lib'].map(user), [
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
