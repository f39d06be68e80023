/**
 * A lock between processes that may be killed at any instant. The lock is a directory holding one file named by its owner;
 * taking it is a rename of a prepared directory, which fails while another is in its place and not empty. A dead owner's file is
 * removed by name, so nobody can break a lock that has changed hands in between. Plain JavaScript: part of the bootstrap.
 */
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const pollMs = 200;
const refreshMs = 10_000;
const abandonedMs = 5 * 60_000;

/** Waits until the lock is ours. Its owner refreshes it; it is broken when the owner is dead, or silent for five minutes. */
export async function acquireLock(path, say) {
  const owner = `${hostname()}@${randomBytes(8).toString('hex')}`;
  const prepared = `${path}.${owner}`;
  mkdirSync(prepared);
  writeFileSync(join(prepared, owner), `${process.pid}\n`);
  let told = false;
  try {
    while (!take(prepared, path)) {
      if (breakIfStale(path)) continue;
      if (!told) say('another set-up is under way in this clone; waiting for it');
      told = true;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  } finally {
    rmSync(prepared, { recursive: true, force: true });
  }
  const mine = join(path, owner);
  const refresh = setInterval(() => quietly(() => utimesSync(mine, new Date(), new Date())), refreshMs);
  refresh.unref();
  return {
    /** A child that may outlive us holds the lock as well. */
    alsoHeldBy(pid) {
      writeFileSync(mine, `${process.pid}\n${pid}\n`);
    },
    release() {
      clearInterval(refresh);
      remove(path, owner);
    },
  };
}

function take(prepared, path) {
  try {
    renameSync(prepared, path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES'].includes(error.code)) return false;
    throw error;
  }
}

/** @returns true when the lock may be free now: a stale owner was removed, or it vanished meanwhile */
function breakIfStale(path) {
  const owner = quietly(() => readdirSync(path)[0]);
  if (owner !== undefined && !isStale(join(path, owner), owner.split('@')[0])) return false;
  remove(path, owner ?? 'nobody');
  return true;
}

function isStale(file, host) {
  const refreshedAt = quietly(() => statSync(file).mtimeMs) ?? Date.now();
  const pids = (quietly(() => readFileSync(file, 'utf8')) ?? '').split('\n').filter(Boolean);
  return Date.now() - refreshedAt > abandonedMs || (host === hostname() && pids.length > 0 && !pids.some((pid) => isAlive(Number(pid))));
}

function remove(path, owner) {
  quietly(() => unlinkSync(join(path, owner)));
  quietly(() => rmdirSync(path));
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function quietly(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
