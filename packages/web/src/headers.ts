/** What browsers are told about every answer. Pages run scripts and styles of this server only, and appear in no frame. */

const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Sets what the handler did not set itself. */
export function secureHeaders(headers: Headers, { encrypted }: { encrypted: boolean }): void {
  const set = (name: string, value: string): void => {
    if (!headers.has(name)) headers.set(name, value);
  };
  const html = headers.get('content-type')?.startsWith('text/html') ?? false;
  set('content-security-policy', html ? pagePolicy : "sandbox; default-src 'none'; frame-ancestors 'none'");
  set('x-content-type-options', 'nosniff');
  set('referrer-policy', 'same-origin');
  set('cross-origin-resource-policy', 'same-origin');
  set('cross-origin-opener-policy', 'same-origin');
  set('cache-control', 'no-cache');
  if (encrypted) set('strict-transport-security', 'max-age=31536000');
}
