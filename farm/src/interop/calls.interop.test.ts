/** Every call of a client to a buildlet that listens, in each pairing of Go's and ours (buildlet.md Part 6). */
import { callsContract } from './calls-contract.ts';
import { goPrograms } from './go-programs.ts';
import { openPeers, pairingName, pairings } from './pairings.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });

for (const pairing of pairings) {
  callsContract(pairingName(pairing, programs), async () =>
    'missing' in programs ? programs : openPeers(pairing, { programs, env: process.env }),
  );
}
