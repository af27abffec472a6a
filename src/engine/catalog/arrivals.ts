/**
 * Files that came from elsewhere, until somebody has decided about them: beside the backups, so that a rename is all that
 * makes a backup of one, in a hidden folder of their own, so that nothing takes one for a backup before. Each is two files
 * under a random name: its bytes, and as JSON what is known of it. So any process of the app may go on with it, and what
 * nobody has touched for some hours goes, whoever was killed.
 */
import { randomUUID } from 'node:crypto';
import { constants, existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { prepareOwnFolder, type Warn } from '../disk/aside.ts';
import { writePrivateJson } from '../disk/private-json.ts';
import { ARRIVALS_FOLDER } from '../format/names.ts';
import { BackupError } from '../../words/errors.ts';

const ID = /^[0-9a-f-]{36}$/;
const ID_LETTERS = 36;
const KEPT_MS = 6 * 3_600_000;
const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;

const arrivalRecord = z.object({
  /** Its name where it came from; never a path here. */
  name: z.string(),
  sizeBytes: z.int().positive(),
  /** When it was last written where it came from, as far as that is known. */
  modifiedAt: z.iso.datetime().nullable(),
  /** Its identity as it passed the check, and what that found (`FileFindings`). */
  checked: z.object({ at: z.iso.datetime(), identity: z.string(), found: z.unknown() }).nullable(),
});

export type ArrivalRecord = z.infer<typeof arrivalRecord>;

export class ArrivalsFolder {
  readonly path: string;

  /** @param backups the folder of the backups, which is there. */
  constructor(backups: string) {
    this.path = join(backups, ARRIVALS_FOLDER);
  }

  /** Where its bytes are. @param id as `begin` gave it. */
  file(id: string): string {
    return join(this.path, `${id}.sqlite`);
  }

  /** @param isEmpty false if somebody else is to make its file. */
  async begin(record: ArrivalRecord, warn: Warn, { isEmpty = true } = {}): Promise<string> {
    prepareOwnFolder(this.path, warn);
    const id = randomUUID();
    this.write(id, record);
    if (!isEmpty) return id;
    await using file = await this.#open(id, O_RDWR | O_CREAT | O_EXCL);
    await file.chmod(0o600); // the umask may have taken more
    return id;
  }

  /** @throws BackupError GONE */
  async read(id: string): Promise<ArrivalRecord> {
    // It may come from outside.
    const text = ID.test(id) ? await readFile(this.#record(id), 'utf8').catch(() => null) : null;
    if (text === null || !existsSync(this.file(id))) throw gone();
    return arrivalRecord.parse(JSON.parse(text));
  }

  /** Whole or not at all. */
  write(id: string, record: ArrivalRecord): void {
    writePrivateJson(this.#record(id), record, { isFlushed: false });
  }

  receivedBytes(id: string): number {
    return lstatSync(this.file(id), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** What was there behind `at` is replaced: a piece may be sent again. */
  async put(id: string, at: number, bytes: Uint8Array): Promise<void> {
    await using file = await this.#open(id, O_RDWR);
    await file.truncate(at);
    for (let done = 0; done < bytes.length;)
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }

  async flush(id: string): Promise<void> {
    await using file = await this.#open(id, O_RDWR);
    await file.sync();
  }

  async remove(id: string): Promise<void> {
    for (const path of [this.file(id), this.#record(id)]) await rm(path, { force: true });
  }

  /** Bytes that are still to come of all that have begun. */
  async awaitedBytes(): Promise<number> {
    let bytes = 0;
    for (const id of this.#entries().keys()) {
      const record = await this.read(id).catch(() => null);
      if (record) bytes += Math.max(0, record.sizeBytes - this.receivedBytes(id));
    }
    return bytes;
  }

  /** Removes what nobody has touched for hours, as far as this user may. */
  sweep(now: Date, warn: Warn): void {
    const touchedMs = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    for (const [id, files] of this.#entries()) {
      // A clock that was set back must not keep it for ever.
      if (Math.abs(now.getTime() - Math.max(...files.map(touchedMs))) < KEPT_MS) continue;
      try {
        for (const path of files) rmSync(path, { force: true });
      } catch {
        warn(`${join(this.path, id)}… came from elsewhere and was forgotten, and this user may not remove it.`);
      }
    }
  }

  #record(id: string): string {
    return join(this.path, `${id}.json`);
  }

  /** The paths of each, also of what a killed process left of it. */
  #entries(): ReadonlyMap<string, readonly string[]> {
    const ids = namesIn(this.path).filter((name) => ID.test(name.slice(0, ID_LETTERS)));
    const paths = ids.map((name) => join(this.path, name));
    return Map.groupBy(paths, (path) => basename(path).slice(0, ID_LETTERS));
  }

  async #open(id: string, flags: number) {
    const path = this.file(id);
    const file = await open(path, flags | O_NOFOLLOW, 0o600);
    giveToOwnerOfFolder(path);
    return file;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // There is none, or another user made it: no backup waits for that, and it is set aside before one is made there.
    return [];
  }
}

function gone(): BackupError {
  return new BackupError('GONE', 'that file is no longer here', {
    hint: 'It was adopted, discarded, or nobody asked for it for hours. Send it again.',
  });
}
