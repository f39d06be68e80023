/** Go's client on every machine that it can be pointed at: one in memory, our buildlet, and Go's own. */
import { systemClock } from '@croft/runtime/clock';
import { createFakeMachine } from './fake.ts';
import { clientCommands, goClientContract, type ClientStage } from './go-client-contract.ts';
import { createGoClient } from './go-client.ts';
import type { BuildletAddress } from './address.ts';
import { goBuildletProgram, startGoBuildlet } from './testing-go.ts';
import { startTestBuildlet } from './testing.ts';

function clientOf(address: BuildletAddress, stack: AsyncDisposableStack): ClientStage {
  const client = stack.use(createGoClient(address, { clock: systemClock }));
  return { client, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

goClientContract('a machine in memory', async () => {
  const stack = new AsyncDisposableStack();
  return clientOf(stack.use(createFakeMachine({ clock: systemClock, commands: clientCommands })).address, stack);
});

goClientContract('our buildlet', async () => {
  const stack = new AsyncDisposableStack();
  return clientOf(stack.use(await startTestBuildlet({ listen: '127.0.0.1:0' })).address, stack);
});

const program = await goBuildletProgram(process.env);
goClientContract(
  'Go’s buildlet',
  async () => {
    const stack = new AsyncDisposableStack();
    return clientOf(stack.use(await startGoBuildlet(program ?? '', process.env)).address, stack);
  },
  { skip: program === undefined ? 'no buildlet of Go’s was built; `npm run interop` builds it' : undefined },
);
