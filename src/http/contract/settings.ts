/** The settings that the page may change. */
import { z } from 'zod';
import { pageSettings } from '../../config/page-settings.ts';

const settingNames = Object.keys(pageSettings) as (keyof typeof pageSettings)[];
// its own keys

/** In the order that the document has published. */
const namesToRevert = settingNames.toSorted((a, b) => Number(a.startsWith('keep')) - Number(b.startsWith('keep')));

/** Body of `POST /config`: any of the settings, or `revert` with the names to set back to the start value. */
export const configChange = z.strictObject({
  ...z.strictObject(pageSettings).partial().shape,
  revert: z.array(z.enum(namesToRevert)).optional(),
});

export const config = z.object({
  ...pageSettings,
  changed: z.object(pageSettings).partial(),
  /** Nobody said the keep numbers: they hold as long as all copies together stay below a fifth of the disk. */
  keepIsDefault: z.boolean(),
  localPath: z.string(),
  databasePath: z.string(),
  cron: z.string().nullable(),
  /** A webhook or a heartbeat is set: somebody elsewhere hears of failures. */
  notifies: z.boolean(),
  s3: z.object({
    configured: z.boolean(),
    bucket: z.string().nullable(),
    region: z.string().nullable(),
    endpoint: z.string().nullable(),
  }),
});

export type ConfigChange = z.infer<typeof configChange>;
export type Config = z.infer<typeof config>;
