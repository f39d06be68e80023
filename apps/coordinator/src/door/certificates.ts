/** Certificates by which people enter: what is signed for them (gomote-ssh.md CERT-2), and what is let in (CERT-3). */
import { MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import type { Certificate } from './certificate.ts';
import { writeCertificate } from './certificate.ts';
import { parseKeyLine, type PublicKey } from './public-key.ts';

export const certificateMs = 5 * MINUTE;
/** What those that we sign allow, as OpenSSH's own do. */
export const extensions = ['permit-X11-forwarding', 'permit-agent-forwarding', 'permit-port-forwarding', 'permit-pty', 'permit-user-rc'];
/** A client whose clock is behind ours may use it at once. */
const skewMs = MINUTE;
const nonceBytes = 32;

/** What a certificate is about: one session, of the farm that is reached at `host`. */
export interface Place {
  readonly session: { readonly id: string; readonly alias: string };
  readonly host: string;
}

export interface SignDeps {
  /** PEM. */
  readonly authority: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly validMs?: number | undefined;
}

/**
 * Lets whoever has the private key come in as that person to that session for a while; it limits the login, not the session.
 * @param publicKey a line of OpenSSH
 * @returns a line of OpenSSH
 * @throws CroftError `invalid` for what is no public key, or a weak one
 */
export function signSshKey(publicKey: string, { person, place }: { person: string; place: Place }, deps: SignDeps): string {
  const { authority, clock, random, validMs = certificateMs } = deps;
  const { key, comment } = parseKeyLine(publicKey);
  const { id, alias } = place.session;
  const wish = {
    kind: 'user' as const,
    subject: key,
    serial: 1n,
    keyId: `croft ${id} ${person}`,
    principals: [principalOf(id, place.host), principalOf(alias, place.host), person],
    validAfter: secondsOf(clock.now() - skewMs),
    validBefore: secondsOf(clock.now() + validMs),
    extensions,
  };
  const line = writeCertificate(wish, { authority, nonce: Buffer.from(random.hex(nonceBytes), 'hex') });
  return comment === '' ? line : `${line} ${comment}`;
}

/**
 * The person that a certificate is for. Whether that person may enter the session is for the session to say.
 * @throws CroftError `forbidden` with the reason
 */
export function checkCertificate(certificate: Certificate, place: Place, trusted: { authority: PublicKey; clock: Clock }): string {
  const { kind, authority, principals, criticalOptions, validAfter, validBefore } = certificate;
  const now = secondsOf(trusted.clock.now());
  const refuse = (why: string): never => {
    throw new CroftError('forbidden', `the certificate ${why}`);
  };
  if (kind !== 'user') refuse('is for a host and not for a person');
  if (!authority.blob.equals(trusted.authority.blob)) refuse('was not signed by this farm');
  if (now < validAfter) refuse('is not valid yet');
  if (now >= validBefore) refuse('has expired');
  if (criticalOptions.size > 0) refuse(`has a critical option that is not known here: ${[...criticalOptions.keys()].join(', ')}`);
  if (!principals.includes(principalOf(place.session.id, place.host))) refuse('is for another session');
  const [person] = principals.filter((principal) => !principal.endsWith(`@${place.host}`));
  return person ?? refuse('names no person');
}

function principalOf(session: string, host: string): string {
  return `${session}@${host}`;
}

function secondsOf(ms: number): bigint {
  return BigInt(Math.floor(ms / SECOND));
}
