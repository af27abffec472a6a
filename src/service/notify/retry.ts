/** How long a voice waits for an answer, and between its tries. */
export interface NotifyWaits {
  readonly timeoutMs: number;
  readonly retryFirstMs: number;
  readonly retryLongestMs: number;
  /** Between two looks at how things stand: that a backup became too old is no event. */
  readonly lookMs: number;
}

export const NOTIFY_WAITS: NotifyWaits = {
  timeoutMs: 10_000,
  retryFirstMs: 5_000,
  retryLongestMs: 15 * 60_000,
  lookMs: 30_000,
};

/** @param failures tries that failed before the last one. */
export function retryDelayMs(failures: number, { retryFirstMs, retryLongestMs }: NotifyWaits): number {
  return Math.min(retryLongestMs, retryFirstMs * 2 ** failures);
}
