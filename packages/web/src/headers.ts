/** What browsers are told about every answer. Pages run scripts and styles of this server only, and appear in no frame. */

const pagePolicy = policy("style-src 'self'");

/** xterm writes its colours and cell sizes into style elements and attributes. What could be done with such reaches nobody else: all else stays shut. */
export const terminalPagePolicy = policy("style-src 'self' 'unsafe-inline'");

function policy(styles: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    styles,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

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
