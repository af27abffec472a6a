/**
 * What was set up on the page and holds a secret: the bucket with its key, the second folder, the webhook and the
 * heartbeat. They are in a file of their own beside the state, which only the user of this process may read: not in
 * `settings.json`, because the folder of the backups is copied to other places.
 *
 * A person who can write the file decides where all data goes. So it counts only if nobody but this user, root or the
 * owner of its folder (who may exchange every file in it) can have written it. One that does not count stays where it is,
 * and what it says is not in use until it is corrected or set up again.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { z } from 'zod';
import { CREDENTIALS_ENDING, setUp } from '../../config/page-settings.ts';
import { setAside } from '../../engine/disk/aside.ts';
import { errnoCode } from '../../words/errors.ts';
import { writePrivateJson } from '../../engine/disk/private-json.ts';

const [s3, folder, webhook, heartbeat] = setUp.options;

const stored = z.strictObject({
  /** `path`: while the bucket is being exchanged, the path that comes with it. */
  s3: s3.omit({ part: true }).partial({ path: true }).optional(),
  /** `below` is the folder in it that is this database's. */
  folder: folder.omit({ part: true }).extend({ below: z.string() }).optional(),
  webhook: webhook.omit({ part: true }).optional(),
  heartbeat: heartbeat.omit({ part: true }).optional(),
});

export type Stored = z.output<typeof stored>;

const OTHERS_WRITE = 0o022;
const SIZE_MAX = 1024 * 1024;

/** `velist-backup.credentials.json` beside `velist-backup.sqlite`. */
export function credentialsPath(statePath: string): string {
  return join(dirname(statePath), `${basename(statePath, extname(statePath))}${CREDENTIALS_ENDING}`);
}

export class Credentials {
  readonly path: string;
  readonly #folder: string;
  readonly #warn: (message: string) => void;
  #current: Stored;
  #complaint: string | null;

  /** @param folder the backup folder, as the state calls it: several may share one state. */
  constructor(statePath: string, { folder: of, warn }: { folder: string; warn: (message: string) => void }) {
    this.path = credentialsPath(statePath);
    this.#folder = of;
    this.#warn = warn;
    const { all, complaint } = readAll(this.path);
    const own = stored.safeParse(all[of] ?? {});
    this.#current = own.data ?? {};
    // What is wrong is named, never what it says.
    this.#complaint = complaint ?? (own.success ? null : `${own.error.issues[0]?.path.join('.')} is not allowed`);
    if (this.#complaint !== null)
      warn(
        `${this.path} was not used (${this.#complaint}); what it holds, such as a bucket or a webhook, is not in use until it is corrected or set up again.`,
      );
  }

  get current(): Stored {
    return this.#current;
  }

  /** Why what was set up is not in use; null when it is. */
  get complaint(): string | null {
    return this.#complaint;
  }

  /**
   * Sets one of them up, or takes it away.
   *
   * @throws BackupError; then nothing was changed.
   */
  change<Name extends keyof Stored>(name: Name, value: Stored[Name] | null): void {
    const { [name]: _, ...rest } = this.#current;
    const next: Stored = value === null ? rest : { ...rest, [name]: value };
    // Another folder's may have been changed since, or the file can no longer be used.
    const { all, complaint } = readAll(this.path);
    const { [this.#folder]: __, ...others } = all;
    const isEmpty = Object.keys(next).length === 0;
    writePrivateJson(this.path, isEmpty ? others : { ...others, [this.#folder]: next }, {
      beforePlacing: () => {
        if ((complaint ?? this.#complaint) !== null && existsSync(this.path))
          this.#warn(`${this.path} could not be used and was moved to ${setAside(this.path)}.`);
      },
    });
    this.#current = next;
    this.#complaint = null;
  }
}

interface Read {
  readonly all: Readonly<Record<string, unknown>>;
  readonly complaint: string | null;
}

function readAll(path: string): Read {
  const unusable = (complaint: string): Read => ({ all: {}, complaint });
  let file: number | undefined;
  try {
    // What is judged is what is read; a link or a pipe is neither.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const fault = faultOfFile(file, path);
    if (fault !== null) return unusable(fault);
    const all: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof all !== 'object' || all === null || Array.isArray(all)) return unusable('it holds no settings');
    return { all: all as Readonly<Record<string, unknown>>, complaint: null }; // of JSON
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'ENOENT') return { all: {}, complaint: null };
    // The parser's message quotes the text.
    return unusable(code === undefined ? 'it is not JSON' : (code === 'ELOOP' && 'it is a link') || code);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function faultOfFile(file: number, path: string): string | null {
  const found = fstatSync(file);
  if (!found.isFile() || found.size > SIZE_MAX) return 'it is no file of ours';
  const self = process.geteuid?.();
  if (self === undefined) return null;
  const owners = new Set([0, self, statSync(dirname(path)).uid]);
  if (!owners.has(found.uid)) return `it belongs to user ${found.uid}`;
  return (found.mode & OTHERS_WRITE) === 0 ? null : 'other users can write to it';
}
