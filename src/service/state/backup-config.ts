/** The settings that hold, as the service shows them. */
import type { PageSettings } from '../../config/page-settings.ts';

/** Settings that can be changed while running. */
export type Settings = PageSettings;

export interface BackupConfig extends Settings {
  /** Start values of settings that were changed on the page or by `updateConfig`. */
  readonly changed: Partial<Settings>;
  /** Nobody said the keep numbers: they hold as long as all copies together stay below a fifth of the disk. */
  readonly keepIsDefault: boolean;
  readonly localPath: string;
  readonly databasePath: string;
  readonly cron: string | null;
  /** A webhook or a heartbeat is set: somebody elsewhere hears of failures. */
  readonly notifies: boolean;
  readonly s3: {
    readonly configured: boolean;
    readonly bucket: string | null;
    readonly region: string | null;
    readonly endpoint: string | null;
  };
}
