/** What the head of a request for `/reverse` says of the machine, checked in Go's order (buildlet.md 2.5). Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Arrival } from '@croft/fleet/reverse-desk';
import { hostTypePattern } from '@croft/protocol/machines';

export type ArrivalRead = { readonly arrival: Omit<Arrival, 'from'>; readonly key: string } | { readonly refusal: string };

/** No machine's name is longer. */
const maxHost = 255;

export function readArrival(headers: IncomingHttpHeaders): ArrivalRead {
  const text = (name: string): string => {
    const value = headers[name];
    return typeof value === 'string' ? value.trim() : '';
  };
  const revdial = text('x-revdial-version');
  if (revdial === '') return { refusal: 'buildlet binary is too old' };
  if (revdial !== '2') return { refusal: 'unknown revdial version' };
  const host = text('x-go-builder-hostname');
  if (host === '') return { refusal: 'missing X-Go-Builder-Hostname header' };
  const hostType = text('x-go-host-type');
  if (hostType === '') return { refusal: 'missing X-Go-Host-Type; old buildlet binary?' };
  if (host.length > maxHost) return { refusal: 'X-Go-Builder-Hostname is too long' };
  if (!hostTypePattern.test(hostType)) return { refusal: 'X-Go-Host-Type is no host type' };
  const boot = text('croft-boot');
  if (!/^[A-Za-z0-9._-]{0,100}$/.test(boot)) return { refusal: 'Croft-Boot is no boot' };
  const version = /^[0-9]{1,6}$/.test(text('x-go-builder-version')) ? Number(text('x-go-builder-version')) : 0;
  return { arrival: { hostType, host, version, boot: boot === '' ? undefined : boot }, key: text('x-go-builder-key') };
}
