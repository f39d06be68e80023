/** A buildlet that is another one from time to time: each call goes to the one that there is then. */
import type { Buildlet } from '@croft/buildlet/client';

/** Disposal leaves them to whoever made them. */
export function currentBuildlet(current: () => Buildlet): Buildlet {
  return {
    get address() {
      return current().address;
    },
    get gzipLevel() {
      return current().gzipLevel;
    },
    status: (...args) => current().status(...args),
    workDir: (...args) => current().workDir(...args),
    putTarGz: (...args) => current().putTarGz(...args),
    getTarGz: (...args) => current().getTarGz(...args),
    listTree: (...args) => current().listTree(...args),
    removeAll: (...args) => current().removeAll(...args),
    startOrAttach: (...args) => current().startOrAttach(...args),
    run: (...args) => current().run(...args),
    runs: (...args) => current().runs(...args),
    output: (...args) => current().output(...args),
    pourOutput: (...args) => current().pourOutput(...args),
    ack: (...args) => current().ack(...args),
    cancel: (...args) => current().cancel(...args),
    signal: (...args) => current().signal(...args),
    writeStdin: (...args) => current().writeStdin(...args),
    resize: (...args) => current().resize(...args),
    collect: (...args) => current().collect(...args),
    connect: (...args) => current().connect(...args),
    sftp: (...args) => current().sftp(...args),
    listen: (...args) => current().listen(...args),
    portFor: (...args) => current().portFor(...args),
    isOpen: (...args) => current().isOpen(...args),
    selfTest: (...args) => current().selfTest(...args),
    halt: (...args) => current().halt(...args),
    async [Symbol.asyncDispose]() {},
  };
}
