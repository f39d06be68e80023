/** Several builds for one verb: named one by one, or all that a query finds. Nothing is done before all of them are known. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseBuildId, type BuildId } from '@croft/domain/names';
import type { BuildSummary } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import type { Client } from '@croft/web/client';

export interface QueryOptions {
  readonly repo?: string;
  readonly builder?: string;
  readonly revision?: string;
  readonly limit: number;
  readonly dryRun?: boolean;
}

export function addQuery(command: Command, limit: number): Command {
  return command
    .option('--repo <name>', 'all of one repository')
    .option('--builder <name>', 'all of one builder')
    .option('--revision <hash>', 'all of one commit, by its full hash')
    .addOption(new Option('--limit <n>', 'with a query: refuse to take more than so many').argParser(count).default(limit))
    .option('--dry-run', 'show which builds that would be; change nothing');
}

function count(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('It is not a whole number from 1 to 9999.');
  return Number(text);
}

export interface Choice {
  readonly client: Client;
  readonly query: QueryOptions;
  /** In each of these states a list is asked for. */
  readonly states: readonly ('queued' | 'running' | 'ended')[];
  suits(build: BuildSummary): boolean;
}

/** @throws CroftError `invalid` for ids and a query at once, for neither, and for more builds than the limit */
export async function chooseBuilds(ids: readonly string[], { client, query, states, suits }: Choice): Promise<readonly BuildId[]> {
  const { repo, builder, revision, limit } = query;
  const isQuery = [repo, builder, revision].some((part) => part !== undefined);
  if (isQuery === ids.length > 0) {
    throw new CroftError('invalid', isQuery ? 'builds are named, and a query is given too' : 'no builds are named', {
      hint: 'Name builds, or give one or more of --repo, --builder and --revision.',
    });
  }
  if (!isQuery) return ids.map(parseBuildId);
  const found: BuildId[] = [];
  for (const state of states) {
    let before: string | undefined;
    do {
      const page = await client.call('builds.list', { query: { repo, builder, revision, state, before, limit: pageSize } });
      found.push(...page.builds.filter(suits).map(({ id }) => parseBuildId(id)));
      if (found.length > limit) {
        throw new CroftError('invalid', `more than ${limit} builds are meant`, { hint: 'Say more exactly which, or raise --limit.' });
      }
      before = page.next;
    } while (before !== undefined);
  }
  return found;
}

const pageSize = 500;
