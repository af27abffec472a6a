/**
 * A value as it is now, found once and shared until a microtask that is queued with it drops it. In between run only the
 * code that asked and continuations that were due already: no answer of a file, a timer or another process is heard, so it
 * needs no time and no watch. One of those continuations that changes what the value rests on calls `drop`.
 */
export class OfThisTurn<Value> {
  readonly #find: () => Value;
  #held: { readonly value: Value } | null = null;

  constructor(find: () => Value) {
    this.#find = find;
  }

  get(): Value {
    if (this.#held) return this.#held.value;
    const held = { value: this.#find() };
    this.#held = held;
    queueMicrotask(() => {
      if (this.#held === held) this.#held = null;
    });
    return held.value;
  }

  /** It was changed here and now. */
  drop(): void {
    this.#held = null;
  }
}
