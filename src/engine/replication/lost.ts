/** The log can't be proven to go on from where it was captured. */
export class Lost extends Error {}
