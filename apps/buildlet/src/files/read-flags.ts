/** How files of a work directory are opened: `O_NOFOLLOW` and, so that what became a fifo meanwhile does not hold us up, `O_NONBLOCK`. */
import { constants } from 'node:fs';

/** Neither is on every system; where they are missing there are no links and fifos to guard against. */
export const readFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
