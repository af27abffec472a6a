/**
 * The stream on the local disk, in Litestream's layout: `<folder>/ltx/<level>/<first TXID>-<last TXID>.ltx`. A segment is
 * written under another name, made durable, renamed, and then its folder is made durable: under its own name it is whole.
 */
import {
  closeSync,
  fsync,
  futimesSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errnoCode } from '../../words/errors.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { removeUnplaced } from '../disk/private-json.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { LtxEncoder } from '../format/ltx/encoder.ts';
import { decodeHeader, HEADER_BYTES, type LtxHeader } from '../format/ltx/header.ts';
import { syncFolderNow } from '../disk/sync-folder.ts';
import { type ListedSegment, SNAPSHOT_LEVEL } from './plan.ts';
import { parseSegmentName, segmentName } from './segment.ts';

/** A segment that lies there, with what its header says. */
export interface LocalSegment extends ListedSegment {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: LtxHeader;
}

/** Levels that are kept: what was captured, three that are merged, and the whole ones. */
const LEVELS: readonly number[] = [0, 1, 2, 3, SNAPSHOT_LEVEL];

const syncFile = promisify(fsync);
const UNFINISHED = '.tmp';

export class LocalStream {
  readonly folder: string;
  #segments: readonly LocalSegment[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** All segments, as `refresh` found them and as they were added and removed since; lower levels first, then in order. */
  get segments(): readonly LocalSegment[] {
    return this.#segments;
  }

  level(level: number): readonly LocalSegment[] {
    return this.#segments.filter((segment) => segment.level === level);
  }

  /** The newest moment that is there. */
  get newest(): LocalSegment | null {
    return this.#segments.reduce<LocalSegment | null>(
      (best, one) => (best === null || one.maxTxid > best.maxTxid ? one : best),
      null,
    );
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** Makes the folders that are missing, and removes what was never finished. For the one who writes. */
  prepare(): void {
    for (const level of LEVELS) {
      const folder = this.#folderOf(level);
      makePrivateFolder(folder);
      for (const entry of readdirSync(folder))
        if (entry.endsWith(UNFINISHED)) rmSync(join(folder, entry), { force: true });
    }
    removeUnplaced(this.folder);
    this.refresh();
  }

  /** Reads the list anew. A file whose header can't be read is none of it: it may be removed meanwhile, or damaged. */
  refresh(): void {
    this.#segments = LEVELS.flatMap((level) => listLevel(this.#folderOf(level), level));
  }

  /**
   * @param pages hands all pages to the encoder, step by step.
   * @throws BackupError BAD_BACKUP; system errors. Then nothing was added.
   */
  *write(
    level: number,
    header: LtxHeader,
    pages: (encoder: LtxEncoder) => Generator<void, void>,
  ): Generator<void, UnfinishedSegment> {
    const unfinished = new UnfinishedSegment(this.#folderOf(level), level, header);
    try {
      yield* pages(unfinished.encoder);
      return unfinished.end();
    } finally {
      // It failed, or nobody waits for it any more.
      unfinished.removeUnlessWhole();
    }
  }

  /** Makes it durable under its own name. */
  async add(unfinished: UnfinishedSegment): Promise<LocalSegment> {
    const segment = await unfinished.finish();
    // In place of one of the same name, which a crash may have left half known.
    const others = this.#segments.filter(({ path }) => path !== segment.path);
    this.#segments = [...others, segment].toSorted(inOrder);
    return segment;
  }

  /** Takes segments away. One that is gone already is no fault. */
  remove(segments: readonly LocalSegment[]): void {
    for (const { path } of segments) rmSync(path, { force: true });
    const gone = new Set(segments.map(({ path }) => path));
    this.#segments = this.#segments.filter(({ path }) => !gone.has(path));
  }

  #folderOf(level: number): string {
    return join(this.folder, 'ltx', String(level));
  }
}

/** A segment that has no name yet. */
class UnfinishedSegment {
  readonly encoder: LtxEncoder;
  readonly #level: number;
  readonly #header: LtxHeader;
  readonly #folder: string;
  readonly #path: string;
  readonly #descriptor: number;
  #isOpen = true;
  #isWhole = false;

  constructor(folder: string, level: number, header: LtxHeader) {
    this.#level = level;
    this.#header = header;
    this.#folder = folder;
    this.#path = join(folder, segmentName(header));
    const temporary = this.#path + UNFINISHED;
    this.#descriptor = openSync(temporary, 'w', 0o600);
    giveToOwnerOfFolder(temporary);
    this.encoder = new LtxEncoder(header, (bytes) => writeAll(this.#descriptor, bytes));
  }

  /** All pages were written. */
  end(): this {
    this.encoder.end();
    this.#isWhole = true;
    return this;
  }

  async finish(): Promise<LocalSegment> {
    try {
      const { at, minTxid, maxTxid } = this.#header;
      futimesSync(this.#descriptor, at, at);
      await syncFile(this.#descriptor);
      this.#close();
      renameSync(this.#path + UNFINISHED, this.#path);
      syncFolderNow(this.#folder);
      const sizeBytes = statSync(this.#path).size;
      return { level: this.#level, minTxid, maxTxid, at, path: this.#path, sizeBytes, header: this.#header };
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  removeUnlessWhole(): void {
    if (!this.#isWhole) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#close();
    rmSync(this.#path + UNFINISHED, { force: true });
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }
}

function listLevel(folder: string, level: number): LocalSegment[] {
  const found: LocalSegment[] = [];
  for (const name of entriesOf(folder)) {
    const span = parseSegmentName(name);
    const path = join(folder, name);
    const read = span && readHeaderOf(path);
    if (read && read.header.minTxid === span.minTxid && read.header.maxTxid === span.maxTxid)
      found.push({ level, ...span, at: read.header.at, path, ...read });
  }
  return found.toSorted(inOrder);
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function readHeaderOf(path: string): { readonly header: LtxHeader; readonly sizeBytes: number } | null {
  try {
    const descriptor = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(HEADER_BYTES);
      readSync(descriptor, bytes, 0, HEADER_BYTES, 0);
      return { header: decodeHeader(bytes), sizeBytes: statSync(path).size };
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return null;
  }
}

/** Lower levels first, then by TXID. */
export function inOrder(one: ListedSegment, other: ListedSegment): number {
  if (one.level !== other.level) return one.level - other.level;
  if (one.minTxid !== other.minTxid) return one.minTxid < other.minTxid ? -1 : 1;
  return one.maxTxid < other.maxTxid ? -1 : one.maxTxid > other.maxTxid ? 1 : 0;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done, bytes.length - done);
}
