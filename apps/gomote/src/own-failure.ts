/** Exit status of commands that hand on somebody else's when `gomote` itself fails: what fails on our side must not look like theirs. */
export const ownFailure = 125;
