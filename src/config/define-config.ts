/**
 * The configuration file, `velist-backup.config.ts`, as its author sees it: what the environment can say, by the keys of the
 * table in `settings.ts`, for one database or many. What the file does not say is taken from the environment; `null` takes a
 * value back to its default. Paths are those of the working folder, as in the environment.
 */
import type { ValuesOf } from './setting.ts';
import type { databaseSettings, placeSettings, serverSettings } from './settings.ts';
import type { folderSettings, s3Settings } from './target-settings.ts';

/** What a file may say of these settings; a secret may stand in a file instead, which `<key>File` names. */
type Said<Rows> = { readonly [Key in keyof Rows]?: OrList<ValuesOf<Rows>[Key]> | null } & {
  readonly [Key in SecretsOf<Rows> as `${Key}File`]?: string | null;
};
type OrList<Value> = NonNullable<Value> extends readonly string[] ? string | readonly string[] : Value;
type SecretsOf<Rows> = {
  [Key in keyof Rows & string]: Rows[Key] extends { readonly isSecret: true } ? Key : never;
}[keyof Rows & string];

/** The settings of one database; at the top they hold for all. */
interface DatabaseSettings extends Said<typeof databaseSettings> {
  readonly s3?: S3Settings;
  /** A second folder, on another disk or a mounted server, as the target `folder`. */
  readonly folder?: FolderSettings;
  /**
   * Beside `s3`, by their names (small letters, digits, hyphens): each is a bucket, or a folder, of its own with its own
   * retention and sealing, and nothing of `s3` or `folder` holds for it. Those of the top are for all databases.
   */
  readonly targets?: Readonly<Record<string, TargetSettings>>;
}

/** A place on S3-compatible storage, and what is kept there. */
interface S3Settings extends Said<typeof s3Settings> {}

/** A folder on another disk, and what is kept there. It bears a mark: `touch <path>/.velist-target`, while it is mounted. */
interface FolderSettings extends Said<typeof folderSettings> {}

type Sealing = Pick<DatabaseSettings, 'compression' | 'encryptionRecipient'>;

export type TargetSettings =
  | ({ readonly kind?: 's3' } & Omit<S3Settings, 'enabled'> & Sealing)
  | ({ readonly kind: 'folder' } & FolderSettings & Sealing);

/** Where backups and run history lie. */
type Places = Said<Omit<typeof placeSettings, 'path'>>;

interface Named {
  /**
   * `[a-z0-9][a-z0-9._-]*`; names folder, state, prefix and address. Left out: the name of the file, for a glob that of
   * the folder. The databases of a glob are called `<name>.<file>`.
   */
  readonly name?: string;
}

export type DatabaseEntry = DatabaseSettings &
  Places &
  Named &
  (
    | { readonly path: string; readonly glob?: never }
    | {
        /** Files that are there and files to come: `./tenants/*.sqlite`. */
        readonly glob: string;
        readonly path?: never;
      }
  );

export interface BackupsConfig extends DatabaseSettings, Said<typeof placeSettings>, Said<typeof serverSettings> {
  readonly databases?: readonly DatabaseEntry[];
}

/** Answers what it is given; for the types in `velist-backup.config.ts`. */
export function defineConfig(config: BackupsConfig): BackupsConfig {
  return config;
}
