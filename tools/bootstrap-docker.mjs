/**
 * Installs Debian's Docker daemon where CROFT_REQUIRE_DOCKER=1 says that its tests must run; elsewhere nobody asked for one, and they
 * are skipped by name where there is none. The tests start it by themselves. Plain JavaScript: part of the bootstrap.
 */
import { existsSync } from 'node:fs';
import { aptInstall, aptPrefix } from './bootstrap-apt.mjs';

const programs = ['/usr/sbin/dockerd', '/usr/bin/dockerd', '/usr/local/bin/dockerd'];

/** @throws Error when there is no daemon at the end */
export async function ensureDocker({ withLock, say, fail }) {
  const isThere = () => programs.some((path) => existsSync(path));
  if (isThere()) return;
  const prefix = aptPrefix();
  const install = () => {
    say('installing docker.io with apt-get for the Docker tests (once, about 300 MB)');
    aptInstall(prefix, 'docker.io');
  };
  if (prefix) await withLock(() => isThere() || install());
  if (!isThere()) throw fail('no dockerd for the Docker tests, and CROFT_REQUIRE_DOCKER=1. Install Docker, or unset CROFT_REQUIRE_DOCKER.');
}
