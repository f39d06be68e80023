/** Installs one package with Debian's package manager, where that needs no password. Plain JavaScript: part of the bootstrap. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The words before a command that needs root; undefined when nothing can be installed. */
export function aptPrefix() {
  if (!existsSync('/usr/bin/apt-get')) return undefined;
  if (process.getuid?.() === 0) return [];
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

export function aptInstall(prefix, name) {
  const apt = (...args) => {
    const words = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=300', ...args];
    return spawnSync(words[0], words.slice(1), { stdio: ['ignore', 2, 2] }).status === 0;
  };
  const install = () => apt('install', '-y', '--no-install-recommends', name);
  if (!install() && apt('update')) install();
}
