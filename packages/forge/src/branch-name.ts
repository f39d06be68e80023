/** Which texts git takes as the name of a branch (`git check-ref-format --branch`, without its abbreviations). */

const most = 255;

export function isBranchName(text: string): boolean {
  if (text === '' || text.length > most || text.startsWith('-') || text === '@' || text === 'HEAD') return false;
  if (/[\u0000-\u0020\u007F~^:?*[\\]|\.\.|@\{|\.$/.test(text)) return false;
  return text.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}
