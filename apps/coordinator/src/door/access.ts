/** What people are told of the SSH door, and the certificates that let them in for a while. */
import type { SessionView } from '@croft/protocol/sessions';
import type { SshCertificate, SshDoor } from '@croft/protocol/ssh';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { certificateMs, signSshKey } from './certificates.ts';
import type { FarmKeys } from './farm-keys.ts';

export interface SshAccess {
  readonly place: SshPlace;
  readonly view: SshDoor;
  /**
   * Signs a public key for whoever may use the session. Go's tools are answered with its `certificate` alone.
   * @throws CroftError `forbidden`, `conflict` for a session that has ended, `invalid` for what is no public key
   */
  certify(who: { readonly name: string }, session: SessionView, publicKey: string): SshCertificate;
}

/** As people reach it. */
export interface SshPlace {
  readonly host: string;
  readonly port: number;
}

const usualPort = 22;

export function createSshAccess(keys: FarmKeys, place: SshPlace, { clock, random }: { clock: Clock; random: Random }): SshAccess {
  const { host, port } = place;
  const hostName = port === usualPort ? host : `[${host}]:${port}`;
  return {
    place,
    view: {
      host,
      port,
      hostKeys: keys.hosts.map(({ key: { line, fingerprint } }) => ({ key: line, fingerprint })),
      authority: keys.authority.key.line,
      knownHosts: keys.hosts.map(({ key }) => `${hostName} ${key.line}\n`).join(''),
    },
    certify(who, session, publicKey) {
      const forAll = session.from.kind === 'held' && session.from.policy === true;
      if (!forAll && who.name !== session.owner && !session.sharedWith.includes(who.name))
        throw new CroftError('forbidden', `session ${session.alias} is ${session.owner}'s`, { hint: 'Ask its owner to share it.' });
      if (session.state === 'ending' || session.state === 'ended')
        throw new CroftError('conflict', `session ${session.alias} has ended`, { hint: session.endReason });
      const certificate = signSshKey(
        publicKey,
        { person: who.name, place: { session, host } },
        { authority: keys.authority.pem, clock, random },
      );
      const command = `ssh -o CertificateFile=CERT -i KEY -p ${port} ${session.alias}@${host}`;
      return { certificate, validUntil: clock.now() + certificateMs, command };
    },
  };
}

/** How OpenSSH is started. */
export function sshLine(alias: string, { host, port }: SshPlace): string {
  return port === usualPort ? `ssh ${alias}@${host}` : `ssh -p ${port} ${alias}@${host}`;
}
