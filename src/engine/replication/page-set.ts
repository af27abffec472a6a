/** Numbers of pages, a bit for each: a log may have a frame for every page of the database. */
export class PageSet {
  #words = new Uint32Array(32);

  has(number: number): boolean {
    return (((this.#words[number >>> 5] ?? 0) >>> (number & 31)) & 1) === 1;
  }

  add(number: number): void {
    const place = number >>> 5;
    if (place >= this.#words.length) {
      const larger = new Uint32Array(Math.max(place + 1, 2 * this.#words.length));
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words[place] = (this.#words[place] ?? 0) | (1 << (number & 31));
  }

  clear(): void {
    this.#words.fill(0);
  }
}
