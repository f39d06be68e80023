/** Every message that the buildlet logs, with its fields. It has no metrics of its own: its status tells them to the coordinator. */
export const messages = {
  /** Its settings are right. `pid`, `concealed`: whether only root can look into this process. */
  started: 'buildlet started',
  /** Serves from now on. `address`, `pid`, `workDir`, `stateDir`, `runs` uncollected, `tree`: how trees are held together, `start`: how commands are started. */
  ready: 'buildlet ready',
  /** `run`, `exit`, `outputBytes`. */
  runEnded: 'run ended',
  /** `program`, `state` as Go's programs are told it, `elapsedMs`. */
  execEnded: 'exec ended',
  /** A predecessor died while it ran. `run`, `evidence`. */
  runLost: 'run lost',
  /** `run`, `pids`: they are stuck in the kernel; the machine should be given up. */
  wouldNotDie: 'processes of a run would not die',
  /** It ends for an update once nothing would be lost by that. `runs` that are alive or uncollected. */
  draining: 'draining',
  /** No coordinator was heard for `afterMs`, ms; it ends. */
  orphaned: 'orphaned',
  /** `path` was removed or replaced under it, by a command perhaps; it ends. */
  groundGone: 'directory taken away',
  /** `path` in the trash directory; it is tried again at the next start. */
  trashKept: 'trash could not be deleted',
  /** An archive of a sender without an epoch. `dir`, `leftOut` links that lead out of it, `untimed` files whose time could not be set. */
  unpackedInPart: 'archive unpacked in part',
  /** `dir`, `leftOut` entries that went away after they were listed. */
  packedInPart: 'archive packed in part',
  /** Reverse mode: the coordinator took the line. `coordinator`, `peer`: `croft` or `go`. */
  lineOpened: 'line to the coordinator opened',
  /** It is dialled again unless `--reconnect=false`. `why`. */
  lineLost: 'line to the coordinator lost',
  /** It could not be dialled, or was refused with an HTTP `status`; it is tried again. `error`, `status`. */
  lineFailed: 'line to the coordinator failed',
  /** Nothing can listen at `-health-addr`. `address`, `error`. */
  healthClosed: 'health checks not served',
  /** One that was started here; it is started again. `program`, `exit`. */
  sshServerEnded: 'SSH server ended',
  /** A bug: `task`, `error`. */
  taskFailed: 'background task failed',
  /** A bug or a failing disk: `method`, `path`, `error`. */
  requestFailed: 'request failed',
  /** `-halt` on a `platform` that has no command for it. */
  cannotPowerOff: 'machine cannot be switched off',
  /** `error`. */
  powerOffFailed: 'machine could not be switched off',
} as const;
