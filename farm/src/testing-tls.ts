/** Certificates for farms that end TLS themselves. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export function missingOpenssl(): string | false {
  return existsSync('/usr/bin/openssl') ? false : 'no openssl found to make a certificate with';
}

/** For localhost and 127.0.0.1, signed by itself. */
export function makeCertificate(dir: string): { certFile: string; keyFile: string } {
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const about = ['-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const made = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    keyFile,
    '-out',
    certFile,
  ];
  execFileSync('openssl', [...made, ...about], { stdio: 'ignore' });
  return { certFile, keyFile };
}
