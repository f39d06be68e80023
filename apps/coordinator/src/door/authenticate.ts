/** Who somebody is who wants in: by a key of a person of this farm, or by a certificate that it has signed (gomote-ssh.md CERT-3). */
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Sessions } from '../sessions/sessions.ts';
import { isCertificateType, readCertificate, type Certificate } from './certificate.ts';
import { checkCertificate } from './certificates.ts';
import type { FarmKeys } from './farm-keys.ts';
import type { KnownPerson, People } from './people.ts';
import { isSignedBy, parseKeyBlob, parseSignature, type PublicKey, type Signature } from './public-key.ts';
import { parseTarget, type Target } from './target.ts';
import type { Login, May } from './visit.ts';

/** As the library gives it. */
export interface Offered {
  readonly user: string;
  /** `rsa-sha2-512` is `ssh-rsa` here, with the hash apart; a certificate's keeps its name. */
  readonly algorithm: string;
  readonly hash: string | undefined;
  readonly key: Buffer;
  /** Without it the client asks whether to sign. ECDSA's is DER, a certificate's as SSH has it. */
  readonly signature?: Buffer | undefined;
  readonly signed?: Buffer | undefined;
}

export interface AuthenticateDeps {
  readonly people: People;
  readonly sessions: Sessions;
  readonly keys: FarmKeys;
  /** As certificates call this farm. */
  readonly host: string;
  readonly clock: Clock;
}

/** @returns what the login proves, or `sign` when this key would do. @throws CroftError `forbidden` or `invalid` with the reason */
export async function authenticate(offered: Offered, deps: AuthenticateDeps): Promise<Login | 'sign'> {
  const target = parseTarget(offered.user);
  const isCertificate = isCertificateType(offered.algorithm);
  const { key, people, may } = isCertificate ? await byCertificate(offered, target, deps) : await byKey(offered, deps);
  if (!offered.signature || !offered.signed) return 'sign';
  if (!isSignedBy(key, offered.signed, signatureOf(offered, key, isCertificate)))
    throw new CroftError('forbidden', 'the signature is wrong');
  for (const person of isCertificate ? [] : people) await deps.people.used(person.name, key);
  return { people, target, may, method: isCertificate ? 'certificate' : 'key' };
}

interface Proof {
  readonly key: PublicKey;
  readonly people: readonly KnownPerson[];
  readonly may: May;
}

async function byKey({ key: blob, algorithm, hash }: Offered, { people }: AuthenticateDeps): Promise<Proof> {
  if (algorithm === 'ssh-rsa' && hash === undefined) throw new CroftError('forbidden', 'the client would sign with SHA-1');
  const key = parseKeyBlob(blob);
  const found = await people.withKey(key);
  if (found.length === 0) throw new CroftError('forbidden', `nobody here has the key ${key.fingerprint}`);
  return { key, people: found, may: { terminal: true, forward: true, agent: true } };
}

async function byCertificate({ key: blob }: Offered, target: Target, deps: AuthenticateDeps): Promise<Proof> {
  const { people, sessions, keys, host, clock } = deps;
  const certificate = readCertificate(blob);
  const candidate = certificate.principals.find((principal) => !principal.endsWith(`@${host}`)) ?? '';
  const person = await people.named(candidate);
  if (!person) throw new CroftError('forbidden', 'the certificate is for nobody of this farm');
  const { place } = target;
  const session = await sessions.get(person, place.kind === 'session' ? place.name : `build-${place.build}`);
  checkCertificate(certificate, { session, host }, { authority: keys.authority.key, clock });
  return { key: certificate.subject, people: [person], may: mayOf(certificate) };
}

function mayOf({ extensions }: Certificate): May {
  const has = (name: string): boolean => extensions.has(`permit-${name}`);
  return { terminal: has('pty'), forward: has('port-forwarding'), agent: has('agent-forwarding') };
}

function signatureOf({ algorithm, hash, signature = Buffer.alloc(0) }: Offered, key: PublicKey, isCertificate: boolean): Signature {
  if (isCertificate) return parseSignature(signature);
  const name = hash === undefined ? algorithm : `rsa-sha2-${hash.slice('sha'.length)}`;
  return { algorithm: name, bytes: signature, isDer: key.type.startsWith('ecdsa-') };
}
