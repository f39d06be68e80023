/** `POST /connect-ssh`: lets a key in and turns the connection into one to the machine's SSH server. buildlet.md 1.12. */
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { textError, type Answer } from '../http/answer.ts';
import { behindGate } from '../http/gate.ts';
import type { Call, Route } from '../http/router.ts';
import { installKey, type FindAccount } from './authorized-keys.ts';
import { join } from '../raw/join.ts';
import type { Sshd } from './sshd.ts';

export interface SshDeps {
  readonly sshd: Sshd;
  readonly clock: Clock;
  /** Who a user is; of the system when absent. */
  readonly find?: FindAccount;
}

const maxTunnels = 64;
const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n';

export function sshRoutes(deps: SshDeps): Record<string, Route> {
  let tunnels = 0;
  const handle = async (call: Call): Promise<Answer> => {
    const refused = wrong(call) ?? (await installed(call, deps));
    if (refused) return refused;
    if (tunnels >= maxTunnels) return textError(503, `${maxTunnels} connections to the SSH server are open`);
    tunnels += 1;
    try {
      const peer = await deps.sshd.connect(call);
      peer.once('close', () => (tunnels -= 1));
      return {
        kind: 'takeover',
        head,
        serve: (socket) => join(socket, peer, { clock: deps.clock, untilEither: true }),
        abandon: () => peer.destroy(),
      };
    } catch (error) {
      tunnels -= 1;
      return textError(502, errorText(error));
    }
  };
  return { '/connect-ssh': { style: 'text', handle } };
}

function wrong({ method, request }: Call): Answer | undefined {
  if (method !== 'POST') return textError(400, 'requires POST method');
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined || Number(length) !== 0) return textError(400, 'requires zero Content-Length');
  if (!behindGate(request.socket)) return textError(400, 'requires a connection of its own');
  return undefined;
}

/** Only where both are given, as Go's client does when it is to let somebody in. */
async function installed({ request }: Call, deps: SshDeps): Promise<Answer | undefined> {
  const [user, key] = ['x-go-ssh-user', 'x-go-authorized-key'].map((name) => String(request.headers[name] ?? ''));
  if (!user || !key) return undefined;
  try {
    await installKey(user, key, deps);
    return undefined;
  } catch (error) {
    return textError(400, `adding ssh authorized key: ${errorText(error)}`);
  }
}
