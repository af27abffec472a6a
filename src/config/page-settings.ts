/**
 * The settings that may be changed while running, on the page or by `updateConfig`, by the names that the HTTP contract and
 * `settings.json` have for them. What each may be stands in its row of `settings.ts`.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { typedPrefix } from './prefix.ts';
import { textOf } from './setting.ts';
import { databaseSettings } from './settings.ts';
import { folderSettings, s3Settings } from './target-settings.ts';

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

const { bucket, region, endpoint, forcePathStyle, accessKey, secretKey, lifecycleDays } = s3Settings;

/** A place in a bucket as the page gives it, without its key: with the key it is `setUp`. */
export const s3Place = z.strictObject({
  // They become parts of the server's name.
  bucket: bucket.value.regex(/^[a-z0-9][\w.-]{0,254}$/i, { error: 'the name of the bucket alone' }),
  region: region.value.regex(/^[a-z0-9][a-z0-9-]{0,63}$/i, { error: 'a region such as eu-central-1' }),
  endpoint: endpoint.value.nullable().default(null),
  forcePathStyle: forcePathStyle.value.nullable().default(null),
  path: typedPrefix,
  /** The key may not delete: a rule of the bucket does, after so many days. */
  lifecycleDays: lifecycleDays.value.nullable().default(null),
});

/** What the page may set up, with its secrets, where the environment does not say it. */
export const setUp = z.discriminatedUnion('part', [
  s3Place.extend({ part: z.literal('s3'), accessKey: accessKey.value, secretKey: secretKey.value }),
  z.strictObject({
    part: z.literal('folder'),
    path: folderSettings.path.value.refine(isAbsolute, { error: 'a path from the root, such as /mnt/nas/backups' }),
  }),
  z.strictObject({ part: z.literal('webhook'), url: databaseSettings.webhookUrl.value }),
  z.strictObject({ part: z.literal('heartbeat'), url: databaseSettings.heartbeatUrl.value }),
]);

export type SetUp = z.output<typeof setUp>;
export type S3Place = z.output<typeof s3Place>;

/** Behind the name of a state: the file beside it that keeps what was set up. */
export const CREDENTIALS_ENDING = '.credentials.json';

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
