/** The SSH door: people's keys, certificates, and where it is. Used by the operations in `ssh-operations.ts`. */
import * as z from 'zod';

const at = z.number().int().meta({ description: 'epoch ms' });
/** RSA of 16,384 bits takes 2,800 characters. */
const keyLine = z.string().trim().min(1).max(16_384).meta({ description: 'a public key, one line as in ~/.ssh/id_ed25519.pub' });

export const sshKeyRequestSchema = z.strictObject({
  key: keyLine,
  /** The key's comment where it is empty. */
  name: z.string().trim().max(100).default(''),
});
export type SshKeyRequest = z.output<typeof sshKeyRequestSchema>;

export const sshKeyViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string().meta({ description: 'ssh-ed25519, …' }),
  fingerprint: z.string().meta({ description: 'SHA256:…, as ssh-keygen -l shows it' }),
  addedAt: at,
  lastUsedAt: at.optional(),
});
export type SshKeyView = z.infer<typeof sshKeyViewSchema>;
export const sshKeyListSchema = z.object({ keys: z.array(sshKeyViewSchema) });

export const sshDoorSchema = z.object({
  host: z.string(),
  port: z.number().int(),
  hostKeys: z.array(z.object({ key: z.string(), fingerprint: z.string() })).meta({ description: 'what it shows as host' }),
  authority: z.string().meta({ description: 'the public key that signs certificates' }),
  knownHosts: z.string().meta({ description: 'lines for ~/.ssh/known_hosts' }),
});
export type SshDoor = z.infer<typeof sshDoorSchema>;

export const sshCertificateRequestSchema = z.strictObject({ publicKey: keyLine });
export const sshCertificateSchema = z.object({
  certificate: z.string().meta({ description: 'one line, for a file whose name ends in -cert.pub' }),
  validUntil: at,
  command: z.string().meta({ description: 'how OpenSSH is started with it; CERT and KEY stand for the two files' }),
});
export type SshCertificate = z.infer<typeof sshCertificateSchema>;
