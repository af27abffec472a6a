/**
 * Settings that were changed while running, kept in `settings.json` in the backup folder. The environment is the start
 * value; a change made on the page or by `updateConfig` wins over it and can be reverted.
 *
 * The five keep numbers are one answer to one question. Where the environment has none of them the default holds, which
 * has a limit; a change of one says them all, and when all are back at the default's numbers the default holds again.
 *
 * A file that can't be read stops no backup: the environment holds. But how many backups somebody wanted to keep is not
 * known then, and the environment may say fewer: so nothing is removed until the file is corrected or saved anew.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { pageSettings } from '../../config/page-settings.ts';
import { setAside } from '../../engine/disk/aside.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';
import type { Settings } from './backup-config.ts';
import { writePrivateJson } from '../../engine/disk/private-json.ts';
import { keepNames, keepSettingsNone, type KeepSettings } from '../targets/retention-policies.ts';

const NONE: Partial<Settings> = {};
const changesSchema = z.strictObject(pageSettings).partial();

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
  readonly #start: Settings;
  /** The keep numbers among the start values were said by nobody. */
  readonly #startsByDefault: boolean;
  readonly #isOurs: () => boolean;
  readonly #warn: (message: string) => void;
  #saved: Partial<Settings>;
  /** Settings of a newer version: they do nothing here, and stay in the file. */
  readonly #further: Readonly<Record<string, unknown>>;
  #complaint: string | null;
  #current: { readonly changes: Partial<Settings>; readonly settings: Settings } | null = null;

  /** @param options.isOurs false while the folder is another database's: its settings are not ours. */
  constructor(
    folder: string,
    start: Settings,
    options: {
      readonly warn: (message: string) => void;
      readonly keepIsDefault?: boolean;
      readonly isOurs?: () => boolean;
    },
  ) {
    this.#path = join(folder, SETTINGS_FILE);
    this.#start = start;
    this.#startsByDefault = options.keepIsDefault ?? false;
    this.#isOurs = options.isOurs ?? (() => true);
    this.#warn = options.warn;
    const { changes, further, complaint } = readChanges(this.#path);
    this.#saved = changes;
    this.#further = further;
    this.#complaint = complaint;
    if (!this.#isOurs()) return;
    if (complaint !== null)
      options.warn(
        `${this.#path} is unreadable (${complaint}); the settings of the environment apply, and no backup is removed, until it is corrected or saved again.`,
      );
    const names = Object.keys(further);
    if (names.length > 0)
      options.warn(
        `${this.#path} has settings that this version does not know (${names.join(', ')}); they have no effect.`,
      );
  }

  get #changes(): Partial<Settings> {
    return this.#isOurs() ? this.#saved : NONE;
  }

  /** Why not all that was saved is in force; null when it is. */
  get complaint(): string | null {
    return this.#isOurs() ? this.#complaint : null;
  }

  get current(): Settings {
    const changes = this.#changes;
    if (this.#current?.changes !== changes)
      this.#current = { changes, settings: { ...this.#start, ...changes, ...this.#keepSaid(changes) } };
    return this.#current.settings;
  }

  /** Nobody said what to keep beside the newest, neither in the environment nor later. */
  get keepIsDefault(): boolean {
    return this.#startsByDefault && this.#keepSaid(this.#changes) === null;
  }

  /** Start values of what was changed. */
  get overridden(): Partial<Settings> {
    const { current } = this;
    const names = Object.keys(current) as (keyof Settings)[]; // its own keys
    const changed = names.filter((name) =>
      this.#startsByDefault && isKeep(name) ? current[name] !== this.#start[name] : name in this.#changes,
    );
    return Object.fromEntries(changed.map((name) => [name, this.#start[name]]));
  }

  /** @throws SettingsError; then nothing was changed. */
  change(change: Partial<Settings>, revert: readonly (keyof Settings)[]): Settings {
    const parsed = changesSchema.safeParse(change);
    if (!parsed.success) throw new SettingsError(faults(parsed.error));
    const next: Record<string, unknown> = { ...this.#changes };
    for (const [name, value] of Object.entries(parsed.data)) {
      if (value === undefined) continue;
      if (isEqual(value, this.#start[name as keyof Settings])) delete next[name];
      else next[name] = value;
    }
    for (const name of revert) delete next[name];
    if (this.#startsByDefault) this.#sayAllKeep(next, parsed.data, revert);
    this.#write({ ...this.#further, ...next });
    this.#saved = next as Partial<Settings>; // each value was parsed above
    this.#complaint = null;
    return this.current;
  }

  /** Where the default is the start: all five once one of them was said, in this version or an earlier one; else null. */
  #keepSaid(changes: Partial<Settings>): KeepSettings | null {
    if (!this.#startsByDefault || !keepNames.some((name) => name in changes)) return null;
    const said = keepNames.flatMap((name) => (changes[name] === undefined ? [] : [[name, changes[name]]]));
    return { ...keepSettingsNone, ...Object.fromEntries(said) };
  }

  #sayAllKeep(next: Record<string, unknown>, change: Partial<Settings>, revert: readonly (keyof Settings)[]): void {
    const { current } = this;
    const keep = keepNames.map(
      (name) => [name, revert.includes(name) ? this.#start[name] : (change[name] ?? current[name])] as const,
    );
    for (const name of keepNames) delete next[name];
    // Back at the numbers of the default, it holds again.
    if (keep.some(([name, number]) => number !== this.#start[name])) Object.assign(next, Object.fromEntries(keep));
  }

  #write(changes: Record<string, unknown>): void {
    writePrivateJson(this.#path, changes, {
      beforePlacing: () => {
        if (this.#complaint !== null && existsSync(this.#path))
          this.#warn(`${this.#path} could not be read and was moved to ${setAside(this.#path)}.`);
      },
    });
  }
}

function isKeep(name: keyof Settings): name is keyof KeepSettings {
  return keepNames.some((keep) => keep === name);
}

/** What was changed while running and is in force, for those who have no service; a file that is unreadable counts as none. */
export function savedSettings(folder: string): Partial<Settings> {
  return readChanges(join(folder, SETTINGS_FILE)).changes;
}

interface Read {
  readonly changes: Partial<Settings>;
  readonly further: Readonly<Record<string, unknown>>;
  readonly complaint: string | null;
}

/** Each setting by itself: one that is wrong takes none of the others along. */
function readChanges(path: string): Read {
  const changes: Record<string, unknown> = {};
  const further: Record<string, unknown> = {};
  const wrong: string[] = [];
  let saved: unknown;
  try {
    saved = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { changes, further, complaint: errnoCode(error) === 'ENOENT' ? null : reason };
  }
  if (typeof saved !== 'object' || saved === null || Array.isArray(saved))
    return { changes, further, complaint: 'it holds no settings' };
  for (const [name, value] of Object.entries(saved)) {
    const setting = Object.hasOwn(pageSettings, name) ? pageSettings[name as keyof Settings] : null; // our own keys
    const parsed = setting?.safeParse(value);
    if (!parsed) further[name] = value;
    else if (parsed.success) changes[name] = parsed.data;
    else wrong.push(`${name}: ${parsed.error.issues[0]?.message ?? 'not allowed'}`);
  }
  return { changes, further, complaint: wrong.length === 0 ? null : wrong.join('; ') };
}

/** One of them is a list. */
function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function faults(error: z.ZodError): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const issue of error.issues) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [String(issue.path[0] ?? 'settings')];
    for (const name of unknown) fields[name] ??= issue.code === 'unrecognized_keys' ? 'unknown setting' : issue.message;
  }
  return fields;
}
