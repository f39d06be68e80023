/** What stands in braces in the paths of operations. */
import { sessionNamePattern } from './sessions.ts';

export const pathParameters = {
  build: { pattern: '^B[0-9a-f]{16}$', description: 'id of a build' },
  attempt: { pattern: '^[1-9][0-9]{0,8}$', description: 'number of an attempt' },
  repo: { pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', description: 'name of a repository' },
  artifact: { pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', description: 'name of an artifact' },
  path: { pattern: String.raw`^[^/\0][^\0]{0,999}$`, description: 'path of a file below the root of the tree' },
  session: { pattern: sessionNamePattern, description: 'id or alias of a session' },
  token: { pattern: '^[A-Za-z0-9]{1,64}$', description: 'id of a token, not its secret' },
  key: { pattern: '^[A-Za-z0-9]{1,64}$', description: 'id of a key, not its secret' },
  sshKey: { pattern: '^[A-Za-z0-9]{1,64}$', description: 'id of a key of yours' },
  machine: { pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', description: 'id of a machine' },
  sha1: { pattern: '^[0-9a-f]{40}$', description: 'lower-case SHA-1 of a log' },
} as const;
