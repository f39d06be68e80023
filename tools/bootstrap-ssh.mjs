/**
 * Installs Debian's clients of SSH, an auditor and login shells where CROFT_REQUIRE_SSH=1 says that the tests of the SSH door must run with all of
 * them; elsewhere those are skipped by name that lack one. Plain JavaScript: part of the bootstrap.
 */
import { existsSync } from 'node:fs';
import { aptInstall, aptPrefix } from './bootstrap-apt.mjs';

/** What is there once a package is. */
const wanted = {
  'openssh-client': '/usr/bin/ssh',
  'openssh-server': '/usr/sbin/sshd',
  rsync: '/usr/bin/rsync',
  curl: '/usr/bin/curl',
  'dropbear-bin': '/usr/bin/dbclient',
  'putty-tools': '/usr/bin/plink',
  'python3-paramiko': '/usr/lib/python3/dist-packages/paramiko/__init__.py',
  'python3-asyncssh': '/usr/lib/python3/dist-packages/asyncssh/__init__.py',
  'libssh-4': '/usr/share/doc/libssh-4',
  'ssh-audit': '/usr/bin/ssh-audit',
  csh: '/bin/csh',
  fish: '/usr/bin/fish',
  zsh: '/bin/zsh',
};

/** @throws Error when one is missing at the end */
export async function ensureSshClients({ withLock, say, fail }) {
  const missing = () => Object.keys(wanted).filter((name) => !existsSync(wanted[name]));
  if (missing().length === 0) return;
  const prefix = aptPrefix();
  const install = () => {
    say(`installing ${missing().join(', ')} with apt-get for the tests of the SSH door (once)`);
    for (const name of missing()) aptInstall(prefix, name);
  };
  if (prefix) await withLock(() => missing().length === 0 || install());
  if (missing().length > 0)
    throw fail(
      `no ${missing().join(', no ')} for the tests of the SSH door, and CROFT_REQUIRE_SSH=1. Install them, or unset CROFT_REQUIRE_SSH.`,
    );
}
