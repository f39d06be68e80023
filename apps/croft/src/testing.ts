/** `croft` without a process, and what a farm tells of builds. */
import { runWith as runCliWith, testNow, type Ran, type RunOptions } from '@croft/cli/testing';
import type { BuildDetail } from '@croft/protocol/api';
import { runCli } from './cli.ts';

export { openTestServer, testNow, type Ran, type TestServer } from '@croft/cli/testing';

export function runWith(args: readonly string[], options?: RunOptions): Promise<Ran> {
  return runCliWith(runCli, args, options);
}

export const testId = 'B0123456789abcdef';

export function testBuild(over: Partial<BuildDetail> = {}): BuildDetail {
  return {
    id: testId,
    builder: 'linux',
    repo: 'croft',
    revision: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
    trigger: { kind: 'branch', ref: 'main' },
    band: 'post-submit',
    state: 'ended',
    end: { kind: 'passed' },
    attempts: 1,
    createdAt: testNow - 600_000,
    since: testNow - 300_000,
    startedAt: testNow - 400_000,
    endedAt: testNow - 300_000,
    url: `/builds/${testId}`,
    attemptList: [testAttempt()],
    ...over,
  };
}

export function testAttempt(over: Partial<BuildDetail['attemptList'][number]> = {}): BuildDetail['attemptList'][number] {
  return {
    number: 1,
    state: 'ended',
    startedAt: testNow - 400_000,
    endedAt: testNow - 300_000,
    end: { kind: 'passed' },
    machine: 'local-1',
    reason: 'package.json has a test script',
    steps: [
      {
        name: 'test',
        role: 'step',
        argv: ['npm', 'test'],
        state: 'ended',
        startedAt: testNow - 390_000,
        endedAt: testNow - 310_000,
        exit: { kind: 'exited', code: 0 },
      },
    ],
    log: { state: 'complete', bytes: 2048, url: `/builds/${testId}/attempts/1/log` },
    ...over,
  };
}
