/** New keys of ed25519, in the form in which OpenSSH keeps them. */
import ssh2 from 'ssh2';

export type NewKey = ReturnType<typeof ssh2.utils.generateKeyPairSync>;

/** The library cuts off the zeros that the public half of one key in 256 begins with, and cannot read such a key again: another one is made then. */
export function newKey(comment = ''): NewKey {
  for (;;) {
    const key = ssh2.utils.generateKeyPairSync('ed25519', { comment });
    if (!(ssh2.utils.parseKey(key.private) instanceof Error)) return key;
  }
}
