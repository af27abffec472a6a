/**
 * Brings segments of a target into a private folder: in ranges, several at a time, and handed out in their order while the
 * later ones are still on their way. What is here stays until the moment is built, so whoever begins again goes on.
 *
 * Beside a file that comes in several ranges lies a note of those that are whole, one byte each. What is noted and not on the
 * disk, after a power cut, fails the sums of the segment, and is fetched anew.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError, traitsOf } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';
import { decrypt } from '../format/age.ts';
import { aborted, isPermanent, type ObjectStore } from '../store/store.ts';
import { type RemoteSegment, sayRemote } from './remote-stream.ts';
import { segmentName } from './segment.ts';

const PIECE_BYTES = 8 * 1024 * 1024;
const READERS_MAX = 16;
const PROGRESS_EVERY_BYTES = 1024 * 1024;
/** In a row, with next to nothing between them; each has the store's own retries behind it. */
const FRUITLESS_TRIES_MAX = 4;
const RETRY_FIRST_MS = 500;

interface Piece {
  readonly file: SegmentFile;
  readonly index: number;
}

interface SegmentDownloadsOptions {
  readonly store: ObjectStore;
  /** Private, and used by nobody else now. */
  readonly folder: string;
  readonly identities: readonly string[];
  readonly context: Pick<StoryContext, 'signal' | 'onEvent'>;
}

export class SegmentDownloads {
  readonly #options: SegmentDownloadsOptions;
  #current: SegmentFile | null = null;

  constructor(options: SegmentDownloadsOptions) {
    this.#options = options;
  }

  /** Bytes that must still come. */
  missingBytes(segments: readonly RemoteSegment[]): number {
    return segments.reduce((sum, one) => sum + new SegmentFile(this.#options.folder, one).missingBytes, 0);
  }

  /** The segment that was handed out last failed its check, and is not used again; `wasHere`: it is from an earlier try. */
  dropCurrent(): { readonly segment: RemoteSegment; readonly wasHere: boolean } | null {
    if (this.#current === null) return null;
    this.#current.remove();
    return this.#current;
  }

  /**
   * Each is asked for when those before it are done with. With a private key, the smallest sealed one is opened first of all:
   * a wrong key costs no long download.
   *
   * @throws BackupError BAD_REQUEST without the right private key, GONE for one that was removed meanwhile; S3_*, ABORTED.
   */
  async *bring(segments: readonly RemoteSegment[]): AsyncGenerator<{ readonly path: string }, void> {
    const { folder, context } = this.#options;
    const files = segments.map((one) => new SegmentFile(folder, one));
    const sealed = files.filter(({ segment }) => segment.isSealed);
    const smallest = sealed.toSorted((a, b) => a.segment.sizeBytes - b.segment.sizeBytes)[0];
    const inOrder = smallest ? [smallest, ...files.filter((one) => one !== smallest)] : files;
    const end = new AbortController();
    const signal = AbortSignal.any([context.signal, end.signal]);
    const progress = this.#progress(files);
    const pieces = inOrder.flatMap((file) => file.missing().map((index) => ({ file, index }))).values();
    const read = async () => {
      for (const piece of pieces) await this.#receive(piece, { signal, progress });
    };
    const readers = Array.from({ length: READERS_MAX }, read);
    const reading = Promise.all(readers);
    // An error reaches whoever waits for a file.
    reading.catch(() => end.abort());
    try {
      for (const file of smallest ? [smallest] : []) {
        await Promise.race([file.whole, reading]);
        rmSync(await this.#unseal(file), { force: true });
      }
      for (const file of files) {
        await Promise.race([file.whole, reading]);
        context.signal.throwIfAborted();
        this.#current = file;
        if (!file.segment.isSealed) {
          yield { path: file.path };
          continue;
        }
        const path = await this.#unseal(file);
        yield { path };
        rmSync(path, { force: true });
      }
      await reading;
    } finally {
      end.abort();
      await Promise.allSettled(readers);
    }
  }

  async #receive(
    { file, index }: Piece,
    { signal, progress }: { readonly signal: AbortSignal; readonly progress: (bytes: number) => void },
  ): Promise<void> {
    const { store } = this.#options;
    const { key, sizeBytes } = file.segment;
    let position = index * PIECE_BYTES;
    const end = Math.min(sizeBytes, position + PIECE_BYTES);
    await using handle = await file.open();
    for (let tries = 0; position < end;) {
      const before = position;
      try {
        for await (const chunk of store.get(key, { from: position, to: end - 1, signal })) {
          await writeAt(handle, chunk, position);
          position += chunk.length;
          progress(chunk.length);
        }
        if (position < end) throw shorter(file.segment, store);
      } catch (error) {
        tries = position - before >= PROGRESS_EVERY_BYTES ? 1 : tries + 1;
        const isFromStore = error instanceof BackupError && traitsOf(error.code).blames === 'target';
        if (isPermanent(error) || signal.aborted || !isFromStore || tries >= FRUITLESS_TRIES_MAX) throw error;
        await sleep(RETRY_FIRST_MS * 2 ** tries, undefined, { signal }).catch((reason: unknown) => {
          throw aborted(reason);
        });
      }
    }
    file.note(index);
  }

  /** Plain for as long as it is applied. */
  async #unseal(file: SegmentFile): Promise<string> {
    const { identities } = this.#options;
    this.#current = file;
    const to = `${file.path}.opened`;
    rmSync(to, { force: true });
    await using handle = await open(to, 'wx', 0o600);
    let position = 0;
    for await (const chunk of decrypt(createReadStream(file.path) as AsyncIterable<Buffer>, identities)) {
      await writeAt(handle, chunk, position);
      position += chunk.length;
    }
    return to;
  }

  #progress(files: readonly SegmentFile[]): (bytes: number) => void {
    const total = files.reduce((sum, { segment }) => sum + segment.sizeBytes, 0);
    let done = files.reduce((sum, file) => sum + file.segment.sizeBytes - file.missingBytes, 0);
    let told = Number.NEGATIVE_INFINITY;
    return (bytes) => {
      done += bytes;
      if (done - told < PROGRESS_EVERY_BYTES && done < total) return;
      told = done;
      this.#options.context.onEvent({ type: 'bytes', done: Math.min(done, total), total });
    };
  }
}

/** One object on its way here, under a name that is the same for each try. */
class SegmentFile {
  readonly segment: RemoteSegment;
  readonly path: string;
  /** Some of it was here before. */
  readonly wasHere: boolean;
  readonly #whole = Promise.withResolvers<void>();
  readonly #noted: Uint8Array;

  constructor(folder: string, segment: RemoteSegment) {
    this.segment = segment;
    const version = createHash('sha256').update(`${segment.key} ${segment.etag}`).digest('hex').slice(0, 16);
    this.path = join(folder, `${segment.level}-${segmentName(segment)}-${version}`);
    this.#noted = this.#isWhole() ? new Uint8Array(this.#pieces).fill(1) : this.#readNotes();
    this.wasHere = this.#noted.includes(1);
    if (!this.#noted.includes(0)) this.#finish();
  }

  /** Resolves when it is whole. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  get missingBytes(): number {
    const { sizeBytes } = this.segment;
    return this.missing().reduce((sum, index) => sum + Math.min(PIECE_BYTES, sizeBytes - index * PIECE_BYTES), 0);
  }

  /** The ranges that must still come. */
  missing(): readonly number[] {
    return [...this.#noted].flatMap((isHere, index) => (isHere ? [] : index));
  }

  async open(): Promise<FileHandle> {
    closeSync(openSync(this.#partPath, 'a', 0o600));
    return await open(this.#partPath, 'r+');
  }

  note(index: number): void {
    this.#noted[index] = 1;
    if (this.#pieces > 1) {
      const notes = openSync(this.#notesPath, 'a+', 0o600);
      closeSync(notes);
      const writable = openSync(this.#notesPath, 'r+');
      writeSync(writable, this.#noted, 0, this.#noted.length, 0);
      closeSync(writable);
    }
    if (!this.#noted.includes(0)) this.#finish();
  }

  remove(): void {
    for (const path of [this.path, this.#partPath, this.#notesPath, `${this.path}.opened`])
      rmSync(path, { force: true });
  }

  get #partPath(): string {
    return `${this.path}.part`;
  }

  get #notesPath(): string {
    return `${this.path}.done`;
  }

  get #pieces(): number {
    return Math.max(1, Math.ceil(this.segment.sizeBytes / PIECE_BYTES));
  }

  #isWhole(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.size === this.segment.sizeBytes;
  }

  #readNotes(): Uint8Array {
    const none = new Uint8Array(this.#pieces);
    if (this.#pieces === 1 || statSync(this.#partPath, { throwIfNoEntry: false }) === undefined) return none;
    if (statSync(this.#notesPath, { throwIfNoEntry: false })?.size !== this.#pieces) return none;
    return new Uint8Array(readFileSync(this.#notesPath));
  }

  #finish(): void {
    if (!this.#isWhole()) {
      const part = openSync(this.#partPath, 'r+');
      ftruncateSync(part, this.segment.sizeBytes);
      closeSync(part);
      renameSync(this.#partPath, this.path);
    }
    rmSync(this.#notesPath, { force: true });
    this.#whole.resolve();
  }
}

async function writeAt(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < chunk.length;)
    at += (await file.write(chunk, at, chunk.length - at, position + at)).bytesWritten;
}

function shorter(segment: RemoteSegment, { place }: ObjectStore): BackupError {
  return new BackupError('BAD_BACKUP', `the ${sayRemote(segment)} in ${place} is shorter than it was listed`, {
    hint: 'Something else writes there. Restore another moment, or a backup.',
  });
}
