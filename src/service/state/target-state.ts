/**
 * What is known of a target between two looks, kept in our own small database: which backups were uploaded, what the last
 * listing held, and when the next try is due, so that a restart and the command line know it too.
 *
 * All of it is of one place (server, bucket, path): at another one nothing is known until it is listed.
 */
import type { SealName } from '../../engine/format/seal.ts';
import type { PlaceIdentity } from '../../engine/catalog/identity.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import type { ErrorBody } from '../../words/errors.ts';
import { openStateDatabase, type StateDatabase } from './state-database.ts';

/** What became of the upload of one backup: a state has only what it has. */
export type UploadState = { readonly backup: string; readonly at: Date } & UploadOutcome;

type UploadOutcome =
  /** `sealing`: null for a copy that was stored before this was noted. */
  | { readonly status: 'stored'; readonly sealing: SealName | null }
  | { readonly status: 'failed'; readonly error: ErrorBody }
  /**
   * It was there, and retention or a person removed it; it is not uploaded again. `why` is the end of a sentence, left out
   * if it is not known.
   */
  | { readonly status: 'removed'; readonly why?: string };

export interface KnownRemote {
  readonly name: string;
  /** The manifest's; empty when it must be read again. */
  readonly etag: string;
  readonly manifest: Manifest | null;
  readonly fault: string | null;
  /** Class of storage that its file has to be brought back from before it can be read. */
  readonly archive?: string | null;
  /** What a check of the copy there found last; null when none was made. */
  readonly verification: Manifest['verification'] | null;
}

/** The machine was set back to an older image, or cloned. */
export interface SetBack {
  /** The newest that it does not remember. */
  readonly backup: string;
  /** When that was seen. */
  readonly at: Date;
}

/** What waits for another try. */
interface Waiting {
  readonly nextTryAt: Date | null;
  readonly error: ErrorBody | null;
}

/** Another writer there, as it was seen last. */
interface WriterNote {
  readonly kind: 'other' | 'clone';
  readonly host: string;
  /** The server's time. */
  readonly since: string;
  readonly seenAt: string | null;
  /** Our own time. */
  readonly notedAt: string;
  /** False if it is the other one that stopped. */
  readonly isStopped: boolean;
}

export class TargetState {
  readonly #database: StateDatabase;
  readonly #warn: (message: string) => void;
  readonly #ofFolder: string;
  #place = '';

  /** @param options.folder the backup folder, as the state calls it: what waits belongs to one, what is at a target to all. */
  constructor(path: string, options: { warn: (message: string) => void; folder?: string }) {
    this.#database = openStateDatabase(path, options);
    this.#warn = options.warn;
    this.#ofFolder = options.folder === undefined ? '' : ` ${options.folder}`;
  }

  /** Says of which place the rest is. */
  setPlace(place: string): void {
    this.#place = place;
  }

  uploads(): ReadonlyMap<string, UploadState> {
    const rows = this.#database.prepare('SELECT * FROM s3_uploads WHERE place = ?').all(this.#place);
    const states = rows.flatMap((row): UploadState[] => {
      const outcome = readOutcome(row);
      return outcome ? [{ backup: String(row['backup']), at: new Date(Number(row['at'])), ...outcome }] : [];
    });
    return new Map(states.map((state) => [state.backup, state]));
  }

  setUpload(state: UploadState): void {
    this.#write(() =>
      this.#database
        .prepare(
          'INSERT OR REPLACE INTO s3_uploads (place, backup, status, at, sealing, error, why) VALUES (?, ?, ?, ?, ?, ?, ?)',
        )
        .run(
          this.#place,
          state.backup,
          state.status,
          state.at.getTime(),
          state.status === 'stored' ? state.sealing : null,
          state.status === 'failed' ? textOrNull(state.error) : null,
          state.status === 'removed' ? (state.why ?? null) : null,
        ),
    );
  }

  forgetUpload(backup: string): void {
    this.#write(() =>
      this.#database.prepare('DELETE FROM s3_uploads WHERE place = ? AND backup = ?').run(this.#place, backup),
    );
  }

  /** What the last listing held; null when there was none at this place. */
  listing(): { readonly listedAt: Date; readonly backups: readonly KnownRemote[] } | null {
    const listedAt = this.#note('listedAt');
    if (listedAt === null) return null;
    const backups = this.#database
      .prepare('SELECT * FROM s3_backups WHERE place = ? ORDER BY name')
      .all(this.#place)
      .map((row) => ({
        name: String(row['name']),
        etag: String(row['etag']),
        manifest: parseOrNull<Manifest>(row['manifest']),
        fault: row['fault'] === null ? null : String(row['fault']),
        ...(typeof row['archive'] === 'string' && { archive: row['archive'] }),
        verification: parseOrNull<Manifest['verification']>(row['verification']),
      }));
    return { listedAt: new Date(listedAt), backups };
  }

  /** Writes what differs from the listing before. */
  saveListing(listedAt: Date, change: { changed: readonly KnownRemote[]; gone: readonly string[] }): void {
    this.#write(() =>
      this.#database.transaction(() => {
        const remove = this.#database.prepare('DELETE FROM s3_backups WHERE place = ? AND name = ?');
        for (const name of change.gone) remove.run(this.#place, name);
        const insert = this.#database.prepare(
          'INSERT OR REPLACE INTO s3_backups (place, name, etag, manifest, fault, archive, verification) VALUES (?, ?, ?, ?, ?, ?, ?)',
        );
        for (const { name, etag, manifest, fault, archive, verification } of change.changed) {
          insert.run(this.#place, name, etag, textOrNull(manifest), fault, archive ?? null, textOrNull(verification));
        }
        this.#setNote('listedAt', listedAt.toISOString());
      }),
    );
  }

  get waiting(): Waiting {
    const nextTryAt = this.#note(`nextTryAt${this.#ofFolder}`);
    const error = parseOrNull<ErrorBody>(this.#note(`error${this.#ofFolder}`));
    return { nextTryAt: nextTryAt === null ? null : new Date(nextTryAt), error };
  }

  set waiting({ nextTryAt, error }: Waiting) {
    this.#write(() => {
      this.#setNote(`nextTryAt${this.#ofFolder}`, nextTryAt?.toISOString() ?? null);
      this.#setNote(`error${this.#ofFolder}`, textOrNull(error));
    });
  }

  get writer(): WriterNote | null {
    return parseOrNull(this.#note('writer'));
  }

  set writer(writer: WriterNote | null) {
    this.#write(() => this.#setNote('writer', textOrNull(writer)));
  }

  /** Whose the place was when it was looked at last. */
  get identity(): PlaceIdentity | null {
    return parseOrNull(this.#note('identity'));
  }

  set identity(identity: PlaceIdentity) {
    const text = JSON.stringify(identity);
    if (text !== this.#note('identity')) this.#write(() => this.#setNote('identity', text));
  }

  /** That a backup was found there which this installation made and does not remember; null when nothing is wrong. */
  get setBack(): SetBack | null {
    const noted = parseOrNull<Record<'backup' | 'at', string>>(this.#note(`setBack${this.#ofFolder}`));
    return noted && { backup: noted.backup, at: new Date(noted.at) };
  }

  set setBack(found: SetBack | null) {
    this.#write(() => this.#setNote(`setBack${this.#ofFolder}`, textOrNull(found)));
  }

  close(): void {
    this.#database.close();
  }

  #note(key: string): string | null {
    const row = this.#database.prepare('SELECT value FROM s3_notes WHERE place = ? AND key = ?').get(this.#place, key);
    const value = row?.['value'];
    return typeof value === 'string' ? value : null;
  }

  #setNote(key: string, value: string | null): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO s3_notes (place, key, value) VALUES (?, ?, ?)')
      .run(this.#place, key, value);
  }

  /** A full disk or a program that holds the file must not turn a good backup into a failed one. */
  #write(statement: () => unknown): void {
    try {
      statement();
    } catch (error) {
      this.#warn(
        `What is known of the targets could not be written: ${error instanceof Error ? error.message : String(error)}.`,
      );
    }
  }
}

/** Null for a failure that can't be read: that backup waits, and is tried again. */
function readOutcome(row: Readonly<Record<string, unknown>>): UploadOutcome | null {
  const { status, sealing, why } = row;
  if (status === 'stored') return { status, sealing: sealing as SealName | null }; // written by us
  if (status === 'removed') return { status, ...(typeof why === 'string' && { why }) };
  const error = parseOrNull<ErrorBody>(row['error']);
  return error && { status: 'failed', error };
}

/** Parses what this file wrote; null also if it was damaged in a way that SQLite does not see. */
function parseOrNull<Value>(text: unknown): Value | null {
  try {
    return typeof text === 'string' ? (JSON.parse(text) as Value) : null;
  } catch {
    return null;
  }
}

function textOrNull(value: object | null): string | null {
  return value && JSON.stringify(value);
}
