/**
 * The settings while they are edited. What differs from the saved ones is sent; a value equal to its start value in the
 * environment is sent as a revert, so that it follows the environment again.
 */
import type { Config, ConfigChange } from '../../http/contract.ts';
import { type KeepName, keepNames, type Settings } from '../consequences.ts';
import { minutes } from '../text/format.ts';
import { methodWords } from '../text/words.ts';

export type SettingName = keyof Settings;
/** Number fields hold null while they are empty. */
type Needed = 'intervalMinutes' | 'retentionCount' | KeepName;
type Values = Omit<Settings, Needed> & Record<Needed, number | null>;

const names = [
  'enabled',
  'intervalMinutes',
  'retentionCount',
  's3Enabled',
  's3Path',
  'verify',
  'maxAgeMinutes',
  ...keepNames,
] as const satisfies readonly SettingName[];

export class ConfigDraft {
  readonly saved: Config;
  values: Values;
  /** What the server said of single settings when it refused them. */
  faults = $state.raw<Readonly<Record<string, string>>>({});
  readonly #differing = $derived.by(() => names.filter((name) => this.values[name] !== this.saved[name]));
  readonly isDirty = $derived(this.#differing.length > 0);

  constructor(saved: Config) {
    this.saved = saved;
    // Each name has the value that the configuration has for it.
    this.values = $state(Object.fromEntries(names.map((name) => [name, saved[name]])) as Values);
  }

  /** Null while a number is missing. */
  get settings(): Settings | null {
    const isWhole = (name: Needed, least: number) => (this.values[name] ?? -1) >= least;
    if (!isWhole('intervalMinutes', 1) || !isWhole('retentionCount', 1)) return null;
    return keepNames.every((name) => isWhole(name, 0)) ? (this.values as Settings) : null; // none is null
  }

  /** Nobody said what to keep beside the newest, here neither. */
  get keepsDefault(): boolean {
    return this.saved.keepIsDefault && !this.#differing.some((name) => name.startsWith('keep'));
  }

  hasStart(name: SettingName): boolean {
    return name in this.saved.changed;
  }

  isBack(name: SettingName): boolean {
    return this.hasStart(name) && this.values[name] === this.saved.changed[name];
  }

  back(name: SettingName): void {
    Object.assign(this.values, { [name]: this.saved.changed[name] });
  }

  /** The start value in words. */
  start(name: SettingName): string {
    const value = this.saved.changed[name];
    if (name === 'verify') return methodWords[value === 'full' ? 'full' : 'quick'];
    if (name === 'intervalMinutes' && typeof value === 'number') return minutes(value);
    if (name === 'maxAgeMinutes') return typeof value === 'number' ? minutes(value) : 'automatic';
    return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
  }

  /** An empty field is not a number; the server is asked with null and answers for the field. */
  change(): ConfigChange {
    const revert = this.#differing.filter((name) => this.isBack(name));
    const kept = this.#differing.filter((name) => !revert.includes(name)).map((name) => [name, this.values[name]]);
    return { ...Object.fromEntries(kept), ...(revert.length > 0 ? { revert } : {}) };
  }
}
