/** Shells for tests, on buildlets that know no login shells yet. */
import type { Buildlet } from '@croft/buildlet/client';

export function withoutLogin(buildlet: Buildlet): Buildlet {
  return {
    ...buildlet,
    startOrAttach: (id, { login: _, elseDir: _dir, path: _path, ...spec }, epoch, asked) =>
      buildlet.startOrAttach(id, { ...spec, argv: ['sh'] }, epoch, asked),
  };
}
