/** The forms in which a secret turns up in output: as it is, line by line, and as JSON, URLs and base64 write it, also inside of more. */

/** Shorter pieces would blank out what is no secret. */
const leastBytes = 5;
/** Where base64(1) breaks its lines. */
const wrapAt = 76;

export function secretForms(secret: string): Buffer[] {
  const lines = secret.split(/\r?\n/);
  const texts = [...new Set([secret, ...lines])].flatMap((text) => [text, ...inJson(text), ...inUrl(text)]);
  const encoded = [0, 1, 2].flatMap((before) => inBase64(Buffer.from(secret), before));
  const wrapped = wrap(Buffer.from(secret).toString('base64'));
  const forms = new Set([...texts, ...encoded, ...encoded.map(urlSafe), ...wrapped]);
  return [...forms].map((form) => Buffer.from(form)).filter((form) => form.length >= leastBytes);
}

function inJson(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const ascii = escaped.replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [escaped, escaped.replaceAll('/', '\\/'), ascii];
}

function inUrl(text: string): string[] {
  const escaped = encodeURIComponent(text.toWellFormed());
  const strict = escaped.replaceAll(/[!'()*~]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  const small = (one: string): string => one.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  return [escaped, strict].flatMap((one) => [one, small(one), one.replaceAll('%20', '+')]);
}

/**
 * What the secret alone decides of base64 in which so many bytes, of each three, stand before it: once as it is when more follows,
 * once as it is at the end.
 */
function inBase64(secret: Buffer, before: number): string[] {
  const text = Buffer.concat([Buffer.alloc(before), secret])
    .toString('base64')
    .replace(/=+$/, '');
  const from = Math.ceil((before * 8) / 6);
  const whole = Math.floor(((before + secret.length) * 8) / 6);
  return [text.slice(from, whole), text.slice(from)];
}

function urlSafe(text: string): string {
  return text.replaceAll('+', '-').replaceAll('/', '_');
}

function wrap(text: string): string[] {
  return text.length <= wrapAt
    ? []
    : Array.from({ length: Math.ceil(text.length / wrapAt) }, (_, n) => text.slice(n * wrapAt, (n + 1) * wrapAt));
}
