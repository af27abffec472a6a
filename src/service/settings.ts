/**
 * Settings that were changed while running, kept in `settings.json` in the backup folder. The environment is the start
 * value; a change made on the page or by `updateConfig` wins over it and can be reverted.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { BackupError } from '../engine/errors.ts';
import { makePrivateFolder } from '../engine/private-folder.ts';
import type { Settings } from './model.ts';

const keep = z.int('a whole number').min(0, 'at least 0').max(10_000, 'at most 10,000');

export const settingsSchema = z.strictObject({
  enabled: z.boolean(),
  intervalMinutes: z.int('a whole number of minutes').min(1, 'at least 1 minute').max(525_600, 'at most a year'),
  retentionCount: z.int('a whole number').min(1, 'at least 1 backup').max(10_000, 'at most 10,000 backups'),
  keepHourly: keep,
  keepDaily: keep,
  keepWeekly: keep,
  keepMonthly: keep,
  keepYearly: keep,
  s3Enabled: z.boolean(),
  s3Path: z
    .string()
    .max(512)
    .regex(
      /^[A-Za-z0-9!_.*'()-]+(\/[A-Za-z0-9!_.*'()-]+)*$/,
      'a path such as backups/database, without a slash at its ends',
    )
    .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'must not contain . or ..'),
  verify: z.enum(['quick', 'full']),
  maxAgeMinutes: z.int('a whole number of minutes').min(1).max(5_256_000).nullable(),
});
const changesSchema = settingsSchema.partial();

/** In the folder of the backups. */
export const SETTINGS_FILE = 'settings.json';

/** A BAD_CONFIG with one message per field. */
export class SettingsError extends BackupError {
  readonly fields: Readonly<Record<string, string>>;

  constructor(fields: Readonly<Record<string, string>>) {
    const text = Object.entries(fields).map(([name, what]) => `${name}: ${what}`);
    super('BAD_CONFIG', `these settings are wrong: ${text.join('; ')}`, {
      hint: 'Nothing was changed. Correct them and save again.',
    });
    this.fields = fields;
  }
}

export class SettingsFile {
  readonly #path: string;
  readonly #folder: string;
  readonly #start: Settings;
  #changes: Partial<Settings>;

  constructor(folder: string, start: Settings, options: { warn: (message: string) => void }) {
    this.#folder = folder;
    this.#path = join(folder, SETTINGS_FILE);
    this.#start = start;
    this.#changes = readChanges(this.#path, options.warn);
  }

  get current(): Settings {
    return { ...this.#start, ...this.#changes };
  }

  /** Start values of what was changed. */
  get overridden(): Partial<Settings> {
    return Object.fromEntries(Object.keys(this.#changes).map((name) => [name, this.#start[name as keyof Settings]])); // our own keys
  }

  /** @throws SettingsError; then nothing was changed. */
  change(change: Partial<Settings>, revert: readonly (keyof Settings)[]): Settings {
    const parsed = changesSchema.safeParse(change);
    if (!parsed.success) throw new SettingsError(faults(parsed.error));
    const next: Record<string, unknown> = { ...this.#changes };
    for (const [name, value] of Object.entries(parsed.data)) {
      if (value === undefined) continue;
      if (value === this.#start[name as keyof Settings]) delete next[name];
      else next[name] = value;
    }
    for (const name of revert) delete next[name];
    this.#write(next);
    this.#changes = next as Partial<Settings>; // each value was parsed above
    return this.current;
  }

  #write(changes: Record<string, unknown>): void {
    try {
      makePrivateFolder(this.#folder);
      const temporary = `${this.#path}.${process.pid}.tmp`;
      writeFileSync(temporary, `${JSON.stringify(changes, null, 2)}\n`, { mode: 0o600 });
      chmodSync(temporary, 0o600); // the umask may have taken more
      const file = openSync(temporary, 'r+');
      fsyncSync(file);
      closeSync(file);
      renameSync(temporary, this.#path);
    } catch (error) {
      throw BackupError.from(error);
    }
  }
}

/** What was changed while running and is in force, for those who have no service; a file that is unreadable counts as none. */
export function savedSettings(folder: string): Partial<Settings> {
  return readChanges(join(folder, SETTINGS_FILE), () => {});
}

function readChanges(path: string, warn: (message: string) => void): Partial<Settings> {
  if (!existsSync(path)) return {};
  try {
    return changesSchema.parse(JSON.parse(readFileSync(path, 'utf8'))) as Partial<Settings>;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    warn(
      `${path} is unreadable (${reason}); the settings of the environment hold until it is corrected or saved anew.`,
    );
    return {};
  }
}

function faults(error: z.ZodError): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const issue of error.issues) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [String(issue.path[0] ?? 'settings')];
    for (const name of unknown)
      fields[name] ??= issue.code === 'unrecognized_keys' ? 'there is no such setting' : issue.message;
  }
  return fields;
}
