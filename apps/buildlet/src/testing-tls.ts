/** Certificates for tests, made with `openssl`. */
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Why none can be made; false when they can. */
export function lacksOpenssl(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no openssl found to make a certificate with; install openssl';
  }
}

/** For `DNS:localhost` unless other names are given. */
export function selfSigned(names = 'DNS:localhost,IP:127.0.0.1'): Pair {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-tls-'));
  const [key, cert] = [join(dir.path, 'key.pem'), join(dir.path, 'cert.pem')];
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const named = ['-subj', '/CN=croft-test', '-addext', `subjectAltName=${names}`];
  execFileSync('openssl', [...wanted, ...named, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}
