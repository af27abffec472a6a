/**
 * The WebAssembly module of `codec/codec.ts`, with areas in its memory for one file: pages on one side, frames on the other.
 * Compiled once. An instance has 1 MB, and is used again for the next file.
 */
import { codecModule } from './codec-wasm.ts';

interface CodecExports {
  readonly memory: WebAssembly.Memory;
  begin(): void;
  update(at: number, bytes: number): void;
  checksumOf(at: number, bytes: number, to: number): void;
  sumPage(number: number, at: number, bytes: number): void;
  addToState(number: number, checksumAt: number): void;
  takeFromState(number: number, checksumAt: number): void;
  compress(from: number, bytes: number, to: number): number;
  decompress(from: number, bytes: number, to: number, capacity: number): number;
  encodePages(from: number, count: number, pageSize: number, to: number, numbers: number, sizes: number): number;
  xxh32(at: number, bytes: number): number;
}

const KIB = 1024;
/** Pages that are encoded at once; a multiple of every page size. */
export const BATCH_BYTES = 256 * KIB;
const PAGES_MAX = BATCH_BYTES / 512;
/** LZ4 makes what it can't compress larger by 1 in 255, and each frame has its own few bytes. */
const FRAMES_BYTES = BATCH_BYTES + BATCH_BYTES / 255 + PAGES_MAX * 32 + 256;
const CHECKSUM_AT = 0;
const STATE_AT = 16;
const RESULT_AT = 512;
const NUMBERS_AT = 16 * KIB;
const SIZES_AT = NUMBERS_AT + PAGES_MAX * 4;
const PAGES_AT = 64 * KIB;
const FRAMES_AT = PAGES_AT + BATCH_BYTES + 64;
/** How many bytes of a file the area of frames takes. */
export const FRAMES_MAX = Math.floor(FRAMES_BYTES);

/** The top bit says that there is a checksum; that bit of the CRC itself is lost. */
const CHECKSUM_FLAG = 1n << 63n;

let compiled: WebAssembly.Module | undefined;
const idle: Codec[] = [];
const IDLE_MAX = 4;

export class Codec {
  readonly #exports: CodecExports;
  readonly #view: DataView;
  /** Pages, one after the other. */
  readonly pages: Uint8Array;
  /** Bytes of the file. Its end, the slack, belongs to the codec. */
  readonly frames: Uint8Array;
  readonly numbers: Uint32Array;
  readonly sizes: Uint32Array;

  /** One at the beginning of a file. */
  static take(): Codec {
    const codec = idle.pop() ?? new Codec();
    codec.#exports.begin();
    return codec;
  }

  private constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(codecModule, 'base64'));
    const { exports } = new WebAssembly.Instance(compiled, { env: { abort() {} } });
    this.#exports = exports as unknown as CodecExports; // what codec.ts exports
    const { buffer } = this.#exports.memory;
    this.#view = new DataView(buffer);
    this.pages = new Uint8Array(buffer, PAGES_AT, BATCH_BYTES);
    this.frames = new Uint8Array(buffer, FRAMES_AT, FRAMES_MAX);
    this.numbers = new Uint32Array(buffer, NUMBERS_AT, PAGES_MAX);
    this.sizes = new Uint32Array(buffer, SIZES_AT, PAGES_MAX);
  }

  /** Its owner uses it no more. */
  release(): void {
    if (idle.length < IDLE_MAX) idle.push(this);
  }

  /** The first `count` pages as frames. @returns how many bytes of `frames` they take. */
  encode(count: number, pageSize: number): number {
    return this.#exports.encodePages(PAGES_AT, count, pageSize, FRAMES_AT, NUMBERS_AT, SIZES_AT);
  }

  /** One LZ4 block of `frames` into `pages`. @returns its size; -1 for what is none, or makes more than `capacity`. */
  decompress(at: number, bytes: number, to: number, capacity: number): number {
    return this.#exports.decompress(FRAMES_AT + at, bytes, PAGES_AT + to, capacity);
  }

  /** Takes bytes of `frames` into the checksum of the file. */
  update(at: number, bytes: number): void {
    this.#exports.update(FRAMES_AT + at, bytes);
  }

  /** Takes the first page into it, in place of its compressed bytes. */
  updateWithPage(pageSize: number): void {
    this.#exports.update(PAGES_AT, pageSize);
  }

  sumPage(number: number, pageSize: number): void {
    this.#exports.sumPage(number, PAGES_AT, pageSize);
  }

  xxh32OfPage(pageSize: number): number {
    return this.#exports.xxh32(PAGES_AT, pageSize) >>> 0;
  }

  /** CRC-64/GO-ISO of a page, as two words of `into` from `at` on, the low one first. */
  checksumOf(page: Uint8Array, into: Uint32Array, at: number): void {
    this.pages.set(page);
    this.#exports.checksumOf(PAGES_AT, page.length, RESULT_AT);
    into[at] = this.#view.getUint32(RESULT_AT, true);
    into[at + 1] = this.#view.getUint32(RESULT_AT + 4, true);
  }

  /** Takes a page into the state, or out of it. @param sums its CRC, as `checksumOf` left it. */
  changeState(how: 'add' | 'take', number: number, sums: Uint32Array, at: number): void {
    this.#view.setUint32(RESULT_AT, sums[at] ?? 0, true);
    this.#view.setUint32(RESULT_AT + 4, sums[at + 1] ?? 0, true);
    if (how === 'add') this.#exports.addToState(number, RESULT_AT);
    else this.#exports.takeFromState(number, RESULT_AT);
  }

  get state(): bigint {
    return this.#view.getBigUint64(STATE_AT, true);
  }

  set state(state: bigint) {
    this.#view.setBigUint64(STATE_AT, state, true);
  }

  /** As it stands in the trailer. */
  get fileChecksum(): bigint {
    return CHECKSUM_FLAG | BigInt.asUintN(64, ~this.#view.getBigUint64(CHECKSUM_AT, true));
  }

  /** The sum of all pages, as a tracked snapshot has it behind its pages. */
  get pageSum(): bigint {
    return CHECKSUM_FLAG | this.#view.getBigUint64(CHECKSUM_AT + 8, true);
  }
}
