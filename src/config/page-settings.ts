/**
 * The settings that may be changed while running, on the page or by `updateConfig`, by the names that the HTTP contract and
 * `settings.json` have for them. What each may be stands in its row of `settings.ts`.
 */
import { z } from 'zod';
import { typedPrefix } from './prefix.ts';
import { textOf } from './setting.ts';
import { databaseSettings } from './settings.ts';
import { s3Settings } from './target-settings.ts';

export const pageSettings = {
  enabled: databaseSettings.enabled.value,
  intervalMinutes: databaseSettings.intervalMinutes.value,
  retentionCount: databaseSettings.retentionCount.value,
  keepHourly: databaseSettings.keepHourly.value,
  keepDaily: databaseSettings.keepDaily.value,
  keepWeekly: databaseSettings.keepWeekly.value,
  keepMonthly: databaseSettings.keepMonthly.value,
  keepYearly: databaseSettings.keepYearly.value,
  s3Enabled: s3Settings.enabled.value,
  s3Path: typedPrefix,
  verify: databaseSettings.verify.value,
  /** Null: three intervals, at least 15 minutes. */
  maxAgeMinutes: databaseSettings.maxAgeMinutes.value.nullable(),
  lossIgnore: databaseSettings.lossIgnore.value,
};

/** What they are while nobody changed one. */
export function pageStart(values: PageSettings): PageSettings {
  const names = Object.keys(pageSettings) as (keyof PageSettings)[]; // its own keys
  return Object.fromEntries(names.map((name) => [name, values[name]])) as PageSettings; // each of them
}

type Frozen<Value> = Value extends readonly (infer Item)[] ? readonly Item[] : Value;

export type PageSettings = {
  readonly [Name in keyof typeof pageSettings]: Frozen<z.output<(typeof pageSettings)[Name]>>;
};

/**
 * Typed text as the value of that setting: as the environment is read, and `automatic` for what may be null, `none` for an
 * empty list. What does not fit stays text, which the setting refuses in its own words.
 */
export function typedSetting(name: keyof PageSettings, text: string): unknown {
  const value = pageSettings[name];
  if (value instanceof z.ZodNullable && text === AUTOMATIC) return null;
  const wanted = value instanceof z.ZodNullable ? value.unwrap() : value;
  if (wanted instanceof z.ZodArray && text === NONE) return [];
  if (text.trim() === '') return text;
  const read = textOf(wanted).safeParse(text);
  return read.success ? read.data : text;
}

/** A value as `typedSetting` takes it. */
export function settingText(value: PageSettings[keyof PageSettings]): string {
  if (value === null) return AUTOMATIC;
  return typeof value === 'object' ? value.join(',') || NONE : String(value);
}

const AUTOMATIC = 'automatic';

const NONE = 'none';
