/** Waits for a while, or until somebody wants a look at once. */
export class Sleeper {
  #wake: () => void = () => {};

  /** Ends the sleep that is going on; a later one is not shortened. */
  wake(): void {
    this.#wake();
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve: wake } = Promise.withResolvers<void>();
    this.#wake = wake;
    if (signal.aborted) return;
    // Without signals of its own: an idle process does little else.
    const timer = setTimeout(wake, Math.max(0, ms));
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort);
    await promise;
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
    this.#wake = () => {};
  }
}
