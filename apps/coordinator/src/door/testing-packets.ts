/** What strangers may send before they have logged in: packets as SSH has them, and every way of getting them wrong (RFC 4253, 4252). */
import fc from 'fast-check';

type Bytes = fc.Arbitrary<Buffer>;

const { constantFrom, integer, oneof, tuple } = fc;
const garbage = (maxLength: number): Bytes => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const byte = (value: number): Bytes => fc.constant(Buffer.of(value));
const bool = constantFrom(Buffer.of(0), Buffer.of(1), Buffer.of(0xff));
const joined = (...parts: Bytes[]): Bytes => tuple(...parts).map((pieces) => Buffer.concat(pieces));
const hostileLength = constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 35_001, 262_145);

/** Content with its length before it, which now and then is another one. */
function string(content: Bytes): Bytes {
  const length = fc.option(hostileLength, { freq: 12 });
  return tuple(content, length).map(([bytes, lie]) => Buffer.concat([word(lie ?? bytes.length), bytes]));
}

function text(...known: string[]): Bytes {
  const odd = constantFrom('', '\0', '\r\n', '%s%n', '../../etc', 'x'.repeat(5_000), 'ü日本\u202e', '__proto__', 'constructor', ',,,,');
  return string(oneof({ weight: 4, arbitrary: constantFrom(...known) }, odd).map((value) => Buffer.from(value)));
}

const keyTypes = ['ssh-ed25519', 'ssh-rsa', 'rsa-sha2-256', 'rsa-sha2-512', 'ecdsa-sha2-nistp256', 'ssh-dss', 'sk-ssh-ed25519@openssh.com'];
const certificateTypes = ['ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256'].map((type) => `${type}-cert-v01@openssh.com`);
const users = ['ann-linux-0', 'user-ann-linux-0', 'mutable-ann-linux-0', 'build-B0123456789abcdef', 'ann-linux-0+new', 'ann-linux-0+../x'];

/** @param known keys and certificates that are whole */
function keyBlob(known: readonly Buffer[]): Bytes {
  const number = string(oneof(garbage(70), constantFrom(Buffer.alloc(0), Buffer.alloc(2_100, 0xff), Buffer.of(0x80), Buffer.of(0, 0, 3))));
  const made = joined(
    text(...keyTypes, ...certificateTypes),
    number,
    number,
    fc.option(number).map((one) => one ?? Buffer.alloc(0)),
  );
  return string(oneof(mutated(constantFrom(...known)), made, garbage(200)));
}

function userAuth(known: readonly Buffer[]): Bytes {
  const signature = string(oneof(joined(text(...keyTypes), string(garbage(80))), garbage(100)));
  const methods = [
    joined(text('none')),
    joined(text('password'), bool, text('secret'), oneof(fc.constant(Buffer.alloc(0)), text('new'))),
    joined(text('keyboard-interactive'), text('de'), text('pam')),
    joined(text('hostbased'), text(...keyTypes), keyBlob(known), text('host.example'), text('ann'), signature),
    joined(text('gssapi-with-mic'), constantFrom(word(1), word(0xffff_ffff)), string(garbage(20))),
    joined(text('publickey'), bool, text(...keyTypes, ...certificateTypes), keyBlob(known), oneof(fc.constant(Buffer.alloc(0)), signature)),
  ];
  return joined(byte(50), text(...users), text('ssh-connection', 'ssh-userauth'), oneof(...methods, methods.at(-1) as Bytes));
}

const names = [
  'curve25519-sha256',
  'kex-strict-c-v00@openssh.com',
  'ssh-ed25519',
  'aes128-gcm@openssh.com',
  'none',
  'zlib',
  'diffie-hellman-group1-sha1',
];
const nameList = string(fc.subarray([...names, '', 'x'.repeat(2_000)]).map((list) => Buffer.from(list.join(','))));
const wholeKexInit = Buffer.concat([
  Buffer.of(20),
  Buffer.alloc(16),
  ...['curve25519-sha256', 'ssh-ed25519', ...Array<string>(2).fill('aes128-ctr'), ...Array<string>(2).fill('hmac-sha2-256-etm@openssh.com')]
    .concat('none', 'none', '', '')
    .flatMap((list) => [word(list.length), Buffer.from(list)]),
  Buffer.of(0, 0, 0, 0, 0),
]);
const kexInit = oneof(
  fc.constant(wholeKexInit),
  mutated(fc.constant(wholeKexInit)),
  joined(byte(20), garbage(16), ...Array.from({ length: 10 }, () => nameList), bool, constantFrom(word(0), word(7))),
);
const publicValue = oneof(garbage(40), constantFrom(Buffer.alloc(32), Buffer.alloc(32, 9), Buffer.alloc(32, 0xff), Buffer.alloc(3_000)));
const kexReply = joined(byte(30), string(publicValue));

/** One message, without its packet. */
export function payloads(known: readonly Buffer[]): Bytes {
  const transport = [1, 2, 3, 4, 7].map((type) => joined(byte(type), oneof(garbage(20), text('x'))));
  const connection = [60, 61, 80, 90, 91, 93, 94, 95, 96, 97, 98, 99].map((type) =>
    joined(byte(type), text('session', 'direct-tcpip'), garbage(40)),
  );
  const service = joined(byte(5), text('ssh-userauth', 'ssh-connection'));
  const whole = oneof(userAuth(known), userAuth(known), service, oneof(...transport), oneof(...connection), kexInit, kexReply, byte(21));
  return oneof(
    { weight: 3, arbitrary: whole },
    mutated(whole),
    joined(
      integer({ min: 0, max: 255 }).map((type) => Buffer.of(type)),
      garbage(400),
    ),
  );
}

/** A whole stream before any key is agreed on. */
export function plainStreams(known: readonly Buffer[]): Bytes {
  const version = constantFrom('SSH-2.0-x\r\n', 'SSH-2.0-OpenSSH_9.2\r\n', 'SSH-2.0-libssh2_1.10.0\n', 'SSH-1.99-x\r\n', 'SSH-1.5-x\r\n');
  const oddVersion = constantFrom(
    '',
    'SSH-2.0-\r\n',
    `SSH-2.0-${'x'.repeat(10_000)}`,
    'GET / HTTP/1.1\r\n\r\n',
    'SSH-2.0-x',
    `${'y\r\n'.repeat(2_000)}SSH-2.0-x\r\n`,
    '\0\r\n',
  );
  const head = oneof({ weight: 8, arbitrary: version }, oddVersion).map((line) => Buffer.from(line));
  const begin = oneof(fc.constant(Buffer.alloc(0)), framed(fc.constant(wholeKexInit)), framed(kexInit));
  const packets = fc.array(framed(oneof(kexReply, byte(21), payloads(known))), { maxLength: 6 }).map((list) => Buffer.concat(list));
  const whole = joined(head, begin, packets, oneof(fc.constant(Buffer.alloc(0)), garbage(600)));
  return oneof({ weight: 3, arbitrary: whole }, mutated(whole));
}

/** In a packet without encryption, whose lengths now and then are others. */
function framed(payload: Bytes): Bytes {
  const lies = fc.option(tuple(oneof(hostileLength, integer({ min: 0, max: 64 })), integer({ min: 0, max: 255 })), { freq: 10 });
  return tuple(payload, lies).map(([bytes, lie]) => {
    const padding = 4 + ((8 - ((bytes.length + 9) % 8)) % 8);
    const length = lie?.[0] ?? bytes.length + padding + 1;
    return Buffer.concat([word(length), Buffer.of(lie?.[1] ?? padding), bytes, Buffer.alloc(padding)]);
  });
}

/** Cut, with bits changed, doubled, or with something put in. */
function mutated(whole: Bytes): Bytes {
  const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  const change = oneof(
    tuple(fc.constant('cut' as const), at, fc.constant(0)),
    tuple(fc.constant('flip' as const), at, integer({ min: 1, max: 255 })),
    tuple(fc.constant('double' as const), at, fc.constant(0)),
    tuple(fc.constant('insert' as const), at, integer({ min: 0, max: 255 })),
  );
  return tuple(whole, fc.array(change, { minLength: 1, maxLength: 4 })).map(([bytes, changes]) =>
    changes.reduce((now, [kind, where, value]) => {
      const place = Math.floor(where * now.length);
      const [before, after] = [now.subarray(0, place), now.subarray(place)];
      if (kind === 'cut') return before;
      if (kind === 'double') return Buffer.concat([before, after, after]);
      if (kind === 'insert') return Buffer.concat([before, Buffer.alloc(value, value), after]);
      const flipped = Buffer.from(now);
      if (place < now.length) flipped[place] = (now[place] ?? 0) ^ value;
      return flipped;
    }, bytes),
  );
}
