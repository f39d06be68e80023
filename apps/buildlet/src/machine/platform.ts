/** This machine in the words of Go's programs. */
import { protocols } from '@croft/protocol/distribution';

const systems: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' };
const processors: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Go's protocol that is spoken here. */
export const buildletVersion = protocols.buildlet;

/** `linux-amd64` */
export function goPlatform(): string {
  return `${systems[process.platform] ?? process.platform}-${processors[process.arch] ?? process.arch}`;
}
