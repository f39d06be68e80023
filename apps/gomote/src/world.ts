/** What every command of `gomote` works with: the farm, the group that is active, and the machines of sessions. */
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { createGoClient, type GoClient } from '@croft/buildlet/go-client';
import type { BuildletAddress } from '@croft/buildlet/address';
import { connect, locate } from '@croft/cli/connect';
import type { Cli, GlobalOptions } from '@croft/cli/program';
import type { SessionView } from '@croft/protocol/sessions';
import type { Client } from '@croft/web/client';
import { openGroups, type Groups } from './groups.ts';

export interface GomoteOptions extends GlobalOptions {
  readonly group?: string;
}

export interface World {
  readonly cli: Cli;
  readonly client: Client;
  readonly json: boolean;
  readonly groups: Groups;
  /** Whose machines are meant where none is named. */
  readonly group: ActiveGroup | undefined;
  /** The machine of a session that is active. */
  machine(session: SessionView): Machine;
}

export interface ActiveGroup {
  readonly name: string;
  readonly from: 'flag' | 'environment';
}

/** Both speak to the same machine by way of the coordinator, which knows the epoch. */
export interface Machine extends AsyncDisposable {
  readonly session: SessionView;
  readonly buildlet: Buildlet;
  /** For files one by one, and lists as text. */
  readonly files: GoClient;
}

/** The coordinator puts that of the session in its place. */
export const anyEpoch = 1;

/** @throws CroftError `unavailable` without a farm */
export async function openWorld({ group, json = false, ...given }: GomoteOptions, cli: Cli): Promise<World> {
  const client = await connect(given, cli);
  const { token } = await locate(given, cli);
  return {
    cli,
    client,
    json,
    groups: openGroups(cli.env),
    group: activeGroup(group, cli.env['GOMOTE_GROUP']),
    machine(session) {
      const address = addressOf(client.server, { token, session });
      const buildlet = createBuildlet(address, cli);
      const files = createGoClient(address, { clock: cli.clock, epoch: anyEpoch });
      return {
        session,
        buildlet,
        files,
        async [Symbol.asyncDispose]() {
          await files[Symbol.asyncDispose]();
          await buildlet[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function activeGroup(flag: string | undefined, environment: string | undefined): ActiveGroup | undefined {
  if (flag) return { name: flag, from: 'flag' };
  return environment ? { name: environment, from: 'environment' } : undefined;
}

function addressOf(server: string, { token, session }: { token: string | undefined; session: SessionView }): BuildletAddress {
  const { protocol, hostname, port } = new URL(server);
  const isTls = protocol === 'https:';
  return {
    host: hostname.replaceAll(/^\[|\]$/g, ''),
    port: Number(port || (isTls ? 443 : 80)),
    basePath: `/api/v1/sessions/${session.id}/machine`,
    name: session.alias,
    password: '',
    token,
    tls: isTls ? {} : undefined,
  };
}
