/**
 * What whoever made this machine left for its buildlet: password, certificate and key. From the environment (`META_*`, also as
 * `@file` and `@fd:N`), else from the cloud that the machine runs in. buildlet.md 1.13.
 */
import { readFile } from 'node:fs/promises';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import * as z from 'zod';
import { readGiven } from './given.ts';

export type Cloud = 'gce' | 'ec2' | 'none';

export interface Metadata {
  readonly password?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly cloud: Cloud;
}

const answerMs = 5_000;
const maxBytes = 1024 * 1024;
const names = { password: 'password', tlsCert: 'tls-cert', tlsKey: 'tls-key' } as const;

/**
 * Takes the values out of `env`, so that no program we start inherits them. What stands there wins, and no cloud is asked then: a
 * buildlet that somebody starts on a cloud machine with a password of its own must not serve with the machine's.
 * @throws CroftError `invalid` for a file that cannot be read, `unavailable` when the cloud does not answer
 */
export async function readMetadata(env: NodeJS.ProcessEnv, asked: Cloud | 'auto', clock: Clock): Promise<Metadata> {
  const given = { password: takeOut(env, names.password), tlsCert: takeOut(env, names.tlsCert), tlsKey: takeOut(env, names.tlsKey) };
  const cloud = asked === 'auto' ? await cloudOf(env) : asked;
  if (cloud === 'none' || Object.values(given).some((value) => value !== undefined)) return { ...given, cloud };
  return { ...(cloud === 'gce' ? await askGce(env, clock) : await askEc2(env, clock)), cloud };
}

/** Go writes the key as it is, Kubernetes' pods have it in capitals. */
function takeOut(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const plain = name.replaceAll('-', '_');
  const variables = [`META_${plain}`, `META_${plain.toUpperCase()}`];
  const value = variables.map((variable) => env[variable]).find(Boolean);
  for (const variable of variables) delete env[variable];
  if (!value?.startsWith('@')) return value;
  const place = value.slice(1);
  try {
    return readGiven(place);
  } catch (cause) {
    throw new CroftError('invalid', `read the ${name} from ${place}`, { cause });
  }
}

/** Told by the firmware, so that no machine asks an address on its network which may belong to anybody. */
async function cloudOf(env: NodeJS.ProcessEnv): Promise<Cloud> {
  if (env['KUBERNETES_SERVICE_HOST']) return 'none';
  if (env['GCE_METADATA_HOST']) return 'gce';
  const firmware = async (name: string): Promise<string> => readFile(`/sys/class/dmi/id/${name}`, 'utf8').catch(() => '');
  if ((await firmware('product_name')).startsWith('Google Compute Engine')) return 'gce';
  if (env['AWS_EC2_METADATA_DISABLED'] === 'true') return 'none';
  return (await firmware('sys_vendor')).startsWith('Amazon EC2') ? 'ec2' : 'none';
}

async function askGce(env: NodeJS.ProcessEnv, clock: Clock): Promise<Omit<Metadata, 'cloud'>> {
  const base = `http://${env['GCE_METADATA_HOST'] || '169.254.169.254'}/computeMetadata/v1/instance/attributes`;
  const value = (name: string): Promise<string | undefined> => ask(`${base}/${name}`, { headers: { 'Metadata-Flavor': 'Google' } }, clock);
  const [password, tlsCert, tlsKey] = await Promise.all(Object.values(names).map(value));
  return { password, tlsCert, tlsKey };
}

const userDataSchema = z.object({ tls_password: z.string().optional(), tls_cert: z.string().optional(), tls_key: z.string().optional() });

async function askEc2(env: NodeJS.ProcessEnv, clock: Clock): Promise<Omit<Metadata, 'cloud'>> {
  const base = (env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] || 'http://169.254.169.254').replace(/\/+$/, '');
  const session = { method: 'PUT', headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '60' } };
  const token = await ask(`${base}/latest/api/token`, session, clock); // absent on machines with the first version of the service
  const headers: Record<string, string> = token === undefined ? {} : { 'X-aws-ec2-metadata-token': token };
  const text = await ask(`${base}/latest/user-data`, { headers }, clock);
  if (text === undefined) return {};
  try {
    const data = userDataSchema.parse(JSON.parse(text));
    return { password: data.tls_password, tlsCert: data.tls_cert, tlsKey: data.tls_key };
  } catch {
    throw new CroftError('invalid', 'read the user data of this EC2 instance: it is not the JSON that a coordinator writes'); // its text may be secret
  }
}

/** Undefined for what is not there (404) or empty. */
async function ask(url: string, request: { method?: string; headers: Record<string, string> }, clock: Clock): Promise<string | undefined> {
  try {
    const response = await fetch(url, { ...request, redirect: 'error', signal: clock.deadline(answerMs) });
    const text = await readCapped(response);
    if (response.status === 404) return undefined;
    if (response.status !== 200) throw new CroftError('unavailable', `status ${response.status}`);
    return text || undefined;
  } catch (cause) {
    throw new CroftError('unavailable', `ask the cloud for ${url}`, {
      cause,
      hint: 'Give META_password and the like in the environment, or --cloud=none.',
    });
  }
}

async function readCapped(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > maxBytes) throw new CroftError('exhausted', `the answer is longer than ${maxBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
