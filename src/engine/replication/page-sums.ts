/**
 * The checksum of each page of the newest captured moment, eight bytes a page, and the state, which is the sum of their mixes. What
 * changed since is found by them alone, and a restored database must have exactly the state of its moment.
 */
import { Codec } from '../format/ltx/codec.ts';
import { lockPageOf } from '../format/ltx/header.ts';

/** Pages that changed. Nothing holds it until it is accepted. */
interface SumsChange {
  readonly numbers: readonly number[];
  /** Two words each. */
  readonly sums: Uint32Array;
  /** Pages of the database after it. */
  readonly pages: number;
  readonly stateAfter: bigint;
}

const codec = Codec.take();

export class PageSums {
  readonly pageSize: number;
  #sums: Uint32Array;
  #pages = 0;
  #state = 0n;

  constructor(pageSize: number, expectedPages = 1_024) {
    this.pageSize = pageSize;
    this.#sums = new Uint32Array(2 * expectedPages);
  }

  /** @param words two for each page, in order. */
  static of(pageSize: number, words: Uint32Array): PageSums {
    const sums = new PageSums(pageSize, 0);
    sums.#sums = words;
    sums.#pages = words.length / 2;
    sums.#state = stateOf(words, pageSize);
    return sums;
  }

  get pages(): number {
    return this.#pages;
  }

  get state(): bigint {
    return this.#state;
  }

  /** The words of all pages, in order. Valid until the next change. */
  get words(): Uint32Array {
    return this.#sums.subarray(0, 2 * this.#pages);
  }

  isSame(number: number, sums: Uint32Array, at = 0): boolean {
    const place = 2 * (number - 1);
    return number <= this.#pages && this.#sums[place] === sums[at] && this.#sums[place + 1] === sums[at + 1];
  }

  /** @param sums two words for each of these pages, which are in ascending order. */
  change(numbers: readonly number[], sums: Uint32Array, pages: number): SumsChange {
    codec.state = this.#state;
    for (const [index, number] of numbers.entries()) {
      if (number <= this.#pages) codec.changeState('take', number, this.#sums, 2 * (number - 1));
      if (number <= pages) codec.changeState('add', number, sums, 2 * index);
    }
    // Those that were cut off, unless they were among the changed ones.
    const taken = new Set(pages < this.#pages ? numbers : []);
    for (let number = pages + 1; number <= this.#pages; number++)
      if (!taken.has(number) && number !== lockPageOf(this.pageSize))
        codec.changeState('take', number, this.#sums, 2 * (number - 1));
    return { numbers, sums, pages, stateAfter: codec.state };
  }

  accept({ numbers, sums, pages, stateAfter }: SumsChange): void {
    if (2 * pages > this.#sums.length) {
      const larger = new Uint32Array(2 * Math.max(pages, Math.ceil(this.#pages * 1.25)));
      larger.set(this.words);
      this.#sums = larger;
    }
    for (const [index, number] of numbers.entries()) {
      if (number > pages) continue;
      this.#sums[2 * (number - 1)] = sums[2 * index] ?? 0;
      this.#sums[2 * number - 1] = sums[2 * index + 1] ?? 0;
    }
    this.#pages = pages;
    this.#state = stateAfter;
  }
}

/** The two words of a page, to `into` from `at` on. */
export function sumPage(page: Uint8Array, into: Uint32Array, at: number): void {
  codec.checksumOf(page, into, at);
}

/** The state of these pages, by their words. */
export function stateOf(words: Uint32Array, pageSize: number): bigint {
  codec.state = 0n;
  for (let number = 1; number <= words.length / 2; number++)
    if (number !== lockPageOf(pageSize)) codec.changeState('add', number, words, 2 * (number - 1));
  return codec.state;
}
