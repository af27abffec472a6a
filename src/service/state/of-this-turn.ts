/**
 * A value as it is now, found once and shared by all who ask in the same stretch of synchronous code: nothing else of this
 * process has run in between, and nobody has waited. So it needs nothing to rest on, neither a time nor a watch.
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
