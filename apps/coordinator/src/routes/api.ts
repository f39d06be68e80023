/** What each JSON operation does: one call of a capability, of the tokens or of the audit trail. */
import type { BuildId } from '@croft/domain/names';
import type { BuildDetail } from '@croft/protocol/api';
import { openApiDocument } from '@croft/protocol/openapi';
import { CroftError } from '@croft/runtime/errors';
import type { Audit } from '../auth/audit.ts';
import type { Capabilities } from '../capabilities.ts';
import { recordsOf } from '../originals/build-records.ts';
import type { MachineKeys } from '../auth/machine-keys.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { Handlers } from './perform.ts';
import { sessionHandlers } from './session-handlers.ts';
import { sshHandlers, type SshHandlerDeps } from './ssh-handlers.ts';

export interface ApiDeps extends SshHandlerDeps {
  readonly tokens: Pick<Tokens, 'create' | 'list' | 'revoke'>;
  readonly machineKeys: Pick<MachineKeys, 'create' | 'list' | 'revoke'>;
  readonly audit: Pick<Audit, 'list'>;
  readonly version: string;
}

export function apiHandlers({ tokens, machineKeys, audit, version, ...ssh }: ApiDeps): Handlers {
  return {
    'grid.get': ({ query, capabilities }) => capabilities.grid(query),
    'builds.list': ({ query, capabilities }) => capabilities.builds(query),
    'build.get': ({ params, capabilities }) => buildOf(params.build, capabilities),
    'build.records': async ({ params, capabilities }) => recordsOf(await buildOf(params.build, capabilities)),
    'build.artifacts': async ({ params, capabilities }) => ({
      artifacts: await capabilities.artifacts(params.build, { maxFiles: 100_000 }),
      caches: await capabilities.cacheUses(params.build, {}),
    }),
    'build.cancel': ({ params, body, who, capabilities }) => capabilities.cancel(params.build, who.name, body.why),
    'build.retry': ({ params, who, capabilities }) => capabilities.retry(params.build, who.name),
    'repo.notify': ({ params, capabilities, signal }) => capabilities.notify(params.repo, { signal }),
    'farm.get': ({ capabilities }) => capabilities.farm(),
    'machine.list': ({ query, capabilities }) => capabilities.machineList(query),
    'config.get': ({ capabilities }) => capabilities.configuration(),
    'me.get': async ({ who: { name, role } }) => ({ name, role: role ?? 'viewer' }),
    ...sessionHandlers,
    ...sshHandlers(ssh),
    'token.list': async () => ({ tokens: await tokens.list() }),
    'token.create': ({ body }) => tokens.create(body),
    'token.revoke': ({ params }) => tokens.revoke(params.token),
    'machine.drain': ({ params, body, who, capabilities }) => capabilities.machines.drain(params.machine, who.name, body.why),
    'machine.undrain': ({ params, capabilities }) => capabilities.machines.undrain(params.machine),
    'machine.lose': ({ params, body, who, capabilities, signal }) =>
      capabilities.machines.lose(params.machine, { by: who.name, why: body.why }, { signal }),
    'key.list': async () => ({ keys: await machineKeys.list() }),
    'key.create': ({ body }) => machineKeys.create(body),
    'key.revoke': ({ params }) => machineKeys.revoke(params.key),
    'audit.list': ({ query }) => audit.list(query),
    'openapi.get': async () => openApiDocument(version),
    'health.ready': async ({ who, capabilities }) => {
      const { ready, reasons } = await capabilities.ready();
      const told = who.role === undefined ? [] : reasons; // why is for those who belong here
      if (!ready) throw new CroftError('unavailable', told.join('; ') || 'not ready');
      return { ready, reasons: told };
    },
  };
}

async function buildOf(id: BuildId, capabilities: Pick<Capabilities, 'build'>): Promise<BuildDetail> {
  const build = await capabilities.build(id);
  if (!build) throw new CroftError('not-found', `there is no build ${id}`, { hint: 'croft builds tells those that there are.' });
  return build;
}
