/** Shells for tests: plain ones, whatever the account of whoever runs the tests has for a shell, and whatever that does first. */
import type { Buildlet } from '@croft/buildlet/client';

export function withPlainShells(buildlet: Buildlet): Buildlet {
  return {
    ...buildlet,
    startOrAttach: (id, { login: _, ...spec }, epoch, asked) => buildlet.startOrAttach(id, { ...spec, argv: ['sh'] }, epoch, asked),
  };
}
