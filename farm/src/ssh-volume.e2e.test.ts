/** Not one of 64 MB is lost or changed on its way through the SSH door, however slow either side is. gomote-ssh.md 8. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostType, startReverseFarm } from './testing-reverse.ts';
import { runProgram, sshHost, startSshFarm, type SshFarm, type SshFarmOptions } from './testing-ssh.ts';

// The farm's certificate is its own.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';

const machines: Record<string, SshFarmOptions> = {
  'on a Unix socket': {},
  'that has dialled in': {
    hostType,
    async open({ pools: _, ...config }) {
      const rack = await startReverseFarm(config, { PATH: process.env['PATH'], HOME: process.env['HOME'] });
      await rack.machine('a');
      return rack;
    },
  },
};

const slowly = 'dd bs=512 status=none';
/** Each tells the sum of what has arrived. `$1` is what is sent; the machine has it as `there` once it was put. */
const ways: Record<string, string> = {
  'into a command': 'ssh_to sha256sum <"$1"',
  'into a command that reads slowly': `ssh_to '${slowly} | sha256sum' <"$1"`,
  'by scp there': 'scp_to "$1" "$inst:there" && ssh_to sha256sum there',
  'by scp back': 'scp_to "$inst:there" "$1.back" && sha256sum "$1.back"',
  'by scp there, slowly': 'scp_to -l 400000 "$1" "$inst:there" && ssh_to sha256sum there',
  'by scp back, slowly': 'scp_to -l 400000 "$inst:there" "$1.back" && sha256sum "$1.back"',
  'by the older scp there': 'scp_to -O "$1" "$inst:there" && ssh_to sha256sum there',
  'by the older scp back': 'scp_to -O "$inst:there" "$1.back" && sha256sum "$1.back"',
  'by sftp there and back': 'printf "put $1 put\nget put $1.got\n" | sftp_to >/dev/null && sha256sum "$1.got"',
  'out of a command': 'ssh_to cat there | sha256sum',
  'out of a command to who reads slowly': `ssh_to cat there | ${slowly} | sha256sum`,
  'into a command and back at once': 'ssh_to cat <"$1" | sha256sum',
  'into a command and back at once to who reads slowly': `ssh_to cat <"$1" | ${slowly} | sha256sum`,
};

function scriptOf({ options, port, session }: SshFarm, way: string): string {
  const quoted = options.map((word) => `'${word}'`).join(' ');
  const functions = [
    `inst=${session}@${sshHost}`,
    `ssh_to() { ssh ${quoted} -p ${port} "$inst" "$@"; }`,
    `scp_to() { scp ${quoted} -q -P ${port} "$@"; }`,
    `sftp_to() { sftp ${quoted} -q -P ${port} -b - "$inst"; }`,
  ];
  return [...functions, way].join('\n');
}

for (const [what, options] of Object.entries(machines))
  test(`64 MB to and from a machine ${what} arrive as they were`, async (t) => {
    await using place = await startSshFarm(options);
    const file = join(place.dir, 'sent');
    const made = await runProgram('sh', ['-c', 'head -c 64000000 /dev/urandom >"$0" && sha256sum "$0"', file]);
    const sum = made.stdout.slice(0, 64);
    for (const [how, way] of Object.entries(ways))
      await t.test(how, async () => {
        const { code, stdout, stderr } = await runProgram('sh', ['-c', scriptOf(place, way), 'sh', file]);
        assert.deepEqual({ code, sum: stdout.slice(0, 64) }, { code: 0, sum }, stderr);
      });
  });
