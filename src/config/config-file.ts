/**
 * From a configuration to the settings of each database. Every key stands for a variable of the environment, by one
 * table, and the values go through the very same schema and checks; a fault names the key, its variable and the file.
 *
 * In a list each database has its own folder, state file and prefix, made from its name, whether the list has one entry
 * or fifty: a second entry must never move the backups of the first. Without a list the paths are those of the
 * environment.
 */
import { createHash } from 'node:crypto';
import { basename, dirname, extname, join } from 'node:path';
import type { BackupError } from '../engine/errors.ts';
import type { BackupsConfig, DatabaseEntry, DatabaseSettings, S3Settings, TargetSettings } from './define-config.ts';
import {
  type Environment,
  loadEnvironment,
  processVariables,
  type Source,
  type Variables,
  variableNames,
  wrongSettings,
} from './env.ts';
import { fileVariable } from './secret-files.ts';
import { unknownSetting } from './unknown-names.ts';

type TopKey = Exclude<keyof BackupsConfig, 'databases' | 's3' | 'targets' | keyof DatabaseSettings>;

const settingVariables = {
  enabled: 'BACKUP_ENABLED',
  intervalMinutes: 'BACKUP_INTERVAL_MINUTES',
  schedule: 'BACKUP_SCHEDULE',
  retentionCount: 'BACKUP_RETENTION_COUNT',
  keepHourly: 'BACKUP_KEEP_HOURLY',
  keepDaily: 'BACKUP_KEEP_DAILY',
  keepWeekly: 'BACKUP_KEEP_WEEKLY',
  keepMonthly: 'BACKUP_KEEP_MONTHLY',
  keepYearly: 'BACKUP_KEEP_YEARLY',
  verify: 'BACKUP_VERIFY',
  skipUnchanged: 'BACKUP_SKIP_UNCHANGED',
  maxAgeMinutes: 'BACKUP_MAX_AGE_MINUTES',
  lossAlarm: 'BACKUP_LOSS_ALARM',
  lossPercent: 'BACKUP_LOSS_PERCENT',
  lossRows: 'BACKUP_LOSS_ROWS',
  lossIgnore: 'BACKUP_LOSS_IGNORE',
  drillEnabled: 'BACKUP_DRILL_ENABLED',
  drillSql: 'BACKUP_DRILL_SQL',
  webhookUrl: 'BACKUP_WEBHOOK_URL',
  webhookUrlFile: 'BACKUP_WEBHOOK_URL_FILE',
  heartbeatUrl: 'BACKUP_HEARTBEAT_URL',
  heartbeatUrlFile: 'BACKUP_HEARTBEAT_URL_FILE',
  compression: 'BACKUP_COMPRESSION',
  encryptionRecipient: 'BACKUP_ENCRYPTION_RECIPIENT',
} as const satisfies Record<Exclude<keyof DatabaseSettings, 's3' | 'targets'>, string>;

const s3Variables = {
  enabled: 'BACKUP_S3_ENABLED',
  path: 'BACKUP_S3_PATH',
  bucket: 'S3_BUCKET',
  region: 'S3_REGION',
  endpoint: 'S3_ENDPOINT',
  forcePathStyle: 'S3_FORCE_PATH_STYLE',
  accessKey: 'S3_ACCESS_KEY',
  accessKeyFile: 'S3_ACCESS_KEY_FILE',
  secretKey: 'S3_SECRET_KEY',
  secretKeyFile: 'S3_SECRET_KEY_FILE',
  sessionToken: 'S3_SESSION_TOKEN',
  sessionTokenFile: 'S3_SESSION_TOKEN_FILE',
  retentionCount: 'BACKUP_S3_RETENTION_COUNT',
  keepHourly: 'BACKUP_S3_KEEP_HOURLY',
  keepDaily: 'BACKUP_S3_KEEP_DAILY',
  keepWeekly: 'BACKUP_S3_KEEP_WEEKLY',
  keepMonthly: 'BACKUP_S3_KEEP_MONTHLY',
  keepYearly: 'BACKUP_S3_KEEP_YEARLY',
  retention: 'BACKUP_S3_RETENTION',
  lifecycleDays: 'BACKUP_S3_LIFECYCLE_DAYS',
  storageClass: 'BACKUP_S3_STORAGE_CLASS',
  sse: 'BACKUP_S3_SSE',
  sseKmsKey: 'BACKUP_S3_SSE_KMS_KEY',
  objectLockDays: 'BACKUP_S3_OBJECT_LOCK_DAYS',
  objectLockMode: 'BACKUP_S3_OBJECT_LOCK_MODE',
} as const satisfies Record<keyof S3Settings, string>;

const { enabled: _, ...placeOnS3 } = s3Variables;
const targetVariables = {
  ...placeOnS3,
  compression: 'BACKUP_COMPRESSION',
  encryptionRecipient: 'BACKUP_ENCRYPTION_RECIPIENT',
} as const satisfies Record<keyof TargetSettings, string>;

const placeVariables = {
  path: 'DATABASE_URL',
  localPath: 'BACKUP_LOCAL_PATH',
  statePath: 'BACKUP_STATE_PATH',
} as const;

const topVariables = {
  ...placeVariables,
  host: 'HOST',
  port: 'PORT',
  adminPassword: 'BACKUP_ADMIN_PASSWORD',
  adminPasswordFile: 'BACKUP_ADMIN_PASSWORD_FILE',
  apiToken: 'BACKUP_API_TOKEN',
  apiTokenFile: 'BACKUP_API_TOKEN_FILE',
  metricsToken: 'BACKUP_METRICS_TOKEN',
  metricsTokenFile: 'BACKUP_METRICS_TOKEN_FILE',
  auditLog: 'BACKUP_AUDIT_LOG',
  logFormat: 'LOG_FORMAT',
} as const satisfies Record<TopKey, string>;

/** Of the app and not of backups: they stay in the environment. */
const elsewhere: ReadonlySet<string> = new Set([
  ...['NODE_ENV', 'DEMO_ORDERS', 'STORAGE_DRIVER', 'LOCAL_STORAGE_PATH', 'LOCAL_STORAGE_URL', 'CDN_URL'],
]);

/** Variables that no key stands for; a test keeps it empty. */
export function unreachableVariables(): readonly string[] {
  const reachable = new Set<string>(
    [settingVariables, s3Variables, topVariables].flatMap((table) => Object.values(table)),
  );
  return variableNames.filter((name) => !reachable.has(name) && !elsewhere.has(name));
}

export interface Configured {
  /** What is common to all: address, sign-in, log. */
  readonly common: Environment;
  /** Whether databases are called by their names; without a list there is one, and it has the paths of the environment. */
  readonly isMany: boolean;
  readonly entries: readonly ConfiguredEntry[];
}

export type ConfiguredEntry = ConfiguredDatabase | ConfiguredGlob;

export interface ConfiguredDatabase {
  readonly kind: 'database';
  readonly name: string;
  readonly environment: Environment;
}

export interface ConfiguredGlob {
  readonly kind: 'glob';
  readonly name: string;
  readonly pattern: string;
  /** The folder in which each database has its own. */
  readonly localPath: string;
  /** What each state file is called behind its database's name. */
  readonly statePath: string;
  /** @param name of one database, as `nameInGlob` makes it. */
  environmentOf(name: string, path: string): Environment;
}

export interface ConfigSource {
  /** What faults call the file. */
  readonly file: string;
  readonly variables?: Variables;
}

/** @throws BackupError BAD_CONFIG with one line per fault: key, variable, value (never a secret's), what is allowed. */
export function readConfig(config: BackupsConfig, { file, variables = processVariables() }: ConfigSource): Configured {
  const hint = `Correct ${file}, then start again.`;
  const { databases, s3, targets, ...settings } = asRecord(config, file, hint);
  const faults: string[] = [];
  const top = new Given(variables);
  top.take(settings, { ...settingVariables, ...topVariables }, '', faults);
  top.take(s3, s3Variables, 's3.', faults);
  top.takeTargets(targets, '', faults);
  const given = entriesOf(databases, faults);
  const entries = given.map((entry, index) => {
    const { path, glob, name, s3: ownS3, targets: ownTargets, ...own } = entry;
    const where = `databases[${index}].`;
    const values = new Given(top);
    values.take(
      { ...own, ...(path === undefined ? {} : { path }) },
      { ...settingVariables, ...placeVariables },
      where,
      faults,
    );
    values.take(ownS3, s3Variables, `${where}s3.`, faults);
    values.takeTargets(ownTargets, where, faults);
    return { values, where, path, glob, name: name ?? nameOfEntry(entry) };
  });
  faults.push(...faultsOfNames(entries, databases !== undefined && databases !== null && 'path' in settings));
  if (faults.length > 0)
    throw wrongSettings(
      faults.map((line) => `${file}: ${line}`),
      hint,
    );

  const common = withTargets(loadEnvironment(top.variables, top.source(file, hint)), top, { file, hint });
  if (databases === undefined || databases === null) {
    const name = safeName(basename(common.databasePath, extname(common.databasePath)));
    return { common, isMany: false, entries: [{ kind: 'database', name, environment: common }] };
  }
  return {
    common,
    isMany: true,
    entries: entries.map(({ values, where, glob, name }): ConfiguredEntry => {
      const source = values.source(file, hint);
      // The places that the entry names, or those of all.
      const { backup } = loadEnvironment(values.variables, source);
      const isOwn = (variable: string) => glob === undefined && values.keyOf(variable)?.startsWith(where) === true;
      const environmentOf = (ofName: string, place: Variables) => {
        const environment = loadEnvironment(
          {
            ...values.variables,
            ...(isOwn('BACKUP_LOCAL_PATH') ? {} : { BACKUP_LOCAL_PATH: join(backup.localPath, ofName) }),
            ...(isOwn('BACKUP_STATE_PATH')
              ? {}
              : { BACKUP_STATE_PATH: join(dirname(backup.statePath), `${ofName}.${basename(backup.statePath)}`) }),
            ...(isOwn('BACKUP_S3_PATH') ? {} : { BACKUP_S3_PATH: `${backup.s3Path}/${ofName}` }),
            ...place,
          },
          source,
        );
        return withTargets(environment, values, { file, hint, where, ofName, isGlob: glob !== undefined });
      };
      if (glob === undefined) return { kind: 'database', name, environment: environmentOf(name, {}) };
      return {
        kind: 'glob',
        name,
        pattern: glob,
        localPath: backup.localPath,
        statePath: backup.statePath,
        environmentOf: (ofName, path) => environmentOf(ofName, { DATABASE_URL: path }),
      };
    }),
  };
}

/** What a target does not say is not taken from `s3`: half of another bucket's address would be worse than none. */
function withTargets(
  environment: Environment,
  values: Given,
  of: { file: string; hint: string; where?: string; ofName?: string; isGlob?: boolean },
): Environment {
  if (values.targets.size === 0) return environment;
  const targets = [...values.targets].map(([name, target]) => {
    const { variables } = target;
    const prefix = variables['BACKUP_S3_PATH'] ?? 'backups/database';
    const isOwn = !of.isGlob && of.where !== undefined && target.keyOf('BACKUP_S3_PATH')?.startsWith(of.where) === true;
    const path = of.ofName === undefined || isOwn ? prefix : `${prefix}/${of.ofName}`;
    return {
      name,
      environment: loadEnvironment(
        { ...variables, BACKUP_S3_ENABLED: 'true', BACKUP_S3_PATH: path },
        target.source(of.file, of.hint),
      ),
    };
  });
  return { ...environment, targets };
}

/** Keys that may have a list. */
const lists: ReadonlySet<string> = new Set(['encryptionRecipient', 'lossIgnore']);

const NAME = /^[a-z0-9][a-z0-9._-]*$/;
const TARGET_NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** It becomes a part of file names, which may have 255 bytes. */
const NAME_CHARACTERS_MAX = 100;

/**
 * The name of a file that a glob found: `<glob>.<file>`, without the ending that the glob itself has. Two files never
 * have one name, now or later: what does not fit the letters of names is told apart by a digest.
 *
 * @param file relative to the folder where the glob begins.
 */
export function nameInGlob(glob: Pick<ConfiguredGlob, 'name' | 'pattern'>, file: string): string {
  const ending = /\.[a-z0-9]+$/i.exec(glob.pattern)?.[0] ?? '';
  const stem = ending !== '' && file.endsWith(ending) ? file.slice(0, -ending.length) : file;
  const name = `${glob.name}.${stem}`;
  if (NAME.test(name) && name.length <= NAME_CHARACTERS_MAX) return name;
  const digest = createHash('sha256').update(stem).digest('hex').slice(0, 8);
  return `${safeName(name).slice(0, NAME_CHARACTERS_MAX - 9)}-${digest}`;
}

function twinOf(variable: string): string {
  const held = variable.replace(/_FILE$/, '');
  return held === variable ? fileVariable(variable) : held;
}

/** The values of variables, from the file and from what stands below it, with the key of each. */
class Given {
  readonly #values: Map<string, string | undefined>;
  readonly #keys: Map<string, string>;
  readonly targets: Map<string, Given>;

  constructor(below: Variables | Given) {
    this.#values = new Map(below instanceof Given ? below.#values : Object.entries(below));
    this.#keys = new Map(below instanceof Given ? below.#keys : []);
    this.targets = new Map(below instanceof Given ? below.targets : []);
  }

  get variables(): Variables {
    return Object.fromEntries(this.#values);
  }

  keyOf(variable: string): string | undefined {
    return this.#keys.get(variable);
  }

  source(file: string, hint: string): Source {
    return {
      nameOf: (variable) => {
        const key = this.#keys.get(variable);
        return key === undefined ? variable : `${file}: ${key} (${variable})`;
      },
      hint: `${hint} What the file does not say is read from the environment.`,
    };
  }

  take(settings: unknown, table: Readonly<Record<string, string>>, where: string, faults: string[]): void {
    if (settings === undefined) return;
    if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
      faults.push(`${where.slice(0, -1)}: must be an object`);
      return;
    }
    const here = new Set(Object.keys(settings).map((key) => table[key]));
    for (const [key, value] of Object.entries(settings)) {
      const variable = Object.hasOwn(table, key) ? table[key] : undefined;
      // A secret and the file that holds it are one setting: what is said here wins over either below.
      const twin = variable === undefined ? undefined : twinOf(variable);
      if (twin !== undefined && !here.has(twin)) this.#leaveOut(twin);
      if (variable === undefined) faults.push(where + unknownSetting(key, Object.keys(table)));
      // A secret that was to come from a variable that is not set: nobody must believe in it.
      else if (value === undefined || value === '')
        faults.push(`${where}${key}: is empty; leave it out, or say null to have the default`);
      else if (value === null) this.#set(variable, where + key, undefined);
      else if (['string', 'number', 'boolean'].includes(typeof value)) this.#set(variable, where + key, String(value));
      else if (Array.isArray(value) && lists.has(key)) this.#set(variable, where + key, value.join(','));
      else faults.push(`${where}${key}: must be text, a number, true or false`);
    }
  }

  takeTargets(targets: unknown, where: string, faults: string[]): void {
    if (targets === undefined || targets === null) return;
    if (typeof targets !== 'object' || Array.isArray(targets)) {
      faults.push(`${where}targets: must be an object, with a target by each name`);
      return;
    }
    for (const [name, settings] of Object.entries(targets)) {
      const of = `${where}targets.${name}`;
      const target = new Given({});
      target.take(settings, targetVariables, `${of}.`, faults);
      if (!TARGET_NAME.test(name) || name === 'local' || name === 's3')
        faults.push(`${of}: the name is not allowed; small letters, digits and hyphens, and not local or s3`);
      else this.targets.set(name, target);
    }
  }

  #leaveOut(variable: string): void {
    this.#values.delete(variable);
    this.#keys.delete(variable);
  }

  #set(variable: string, key: string, value: string | undefined): void {
    this.#values.set(variable, value);
    this.#keys.set(variable, key);
  }
}

type LooseEntry = { readonly [Key in keyof DatabaseEntry]?: unknown } & {
  readonly path?: string;
  readonly glob?: string;
  readonly name?: string;
};

function entriesOf(databases: unknown, faults: string[]): readonly LooseEntry[] {
  if (databases === undefined || databases === null) return [];
  if (!Array.isArray(databases) || databases.length === 0) {
    faults.push('databases: must be a list with at least one database');
    return [];
  }
  return databases.filter((entry: unknown, index): entry is LooseEntry => {
    const isOne = typeof entry === 'object' && entry !== null;
    const { path, glob, name } = isOne ? (entry as Record<string, unknown>) : {};
    const isText = (value: unknown) => value === undefined || (typeof value === 'string' && value !== '');
    const complaint = !isOne
      ? 'must be an object'
      : !isText(path) || !isText(glob) || (path === undefined) === (glob === undefined)
        ? 'needs a path or a glob, one of them'
        : name !== undefined && !(typeof name === 'string' && NAME.test(name) && name.length <= NAME_CHARACTERS_MAX)
          ? `the name ${JSON.stringify(name)} is not allowed; small letters, digits, dots, - and _, for instance shop-2`
          : null;
    if (complaint !== null) faults.push(`databases[${index}]: ${complaint}`);
    return complaint === null;
  });
}

function nameOfEntry({ path, glob }: LooseEntry): string {
  if (path !== undefined) return safeName(basename(path, extname(path)));
  // The last folder before anything that may vary.
  const folder = dirname((glob ?? '').replace(/[*?{[(!].*$/s, 'x'));
  return safeName(basename(folder) === '..' ? '' : basename(folder)).replaceAll('.', '-');
}

/** Two databases with one name would share everything that is made from it. */
function faultsOfNames(
  entries: readonly { readonly name: string; readonly glob?: string; readonly where: string }[],
  hasPath: boolean,
): readonly string[] {
  const faults = hasPath ? ['path: does not go with databases; name it in the list'] : [];
  for (const [index, { name, glob, where }] of entries.entries()) {
    const key = `${where}name`;
    const before = entries.slice(0, index);
    if (glob !== undefined && name.includes('.'))
      faults.push(`${key}: ${name} has a dot; the name of a glob has none, because <name>.<file> follows from it`);
    if (before.some((other) => other.name === name))
      faults.push(`${key}: two are called ${name}, and each has its own folder by its name; give one another name`);
    const around = entries.find((other) => other.glob !== undefined && name.startsWith(`${other.name}.`));
    if (glob === undefined && around)
      faults.push(`${key}: ${name} could be a file of the glob ${around.name}; choose a name that does not begin so`);
  }
  return faults;
}

function safeName(text: string): string {
  const safe = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, NAME_CHARACTERS_MAX);
  return safe === '' ? 'database' : safe;
}

function asRecord(config: unknown, file: string, hint: string): Record<string, unknown> {
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return { ...config };
  throw noConfig(file, hint);
}

function noConfig(file: string, hint: string): BackupError {
  return wrongSettings(
    [`${file}: does not export a configuration`],
    `Write export default defineConfig({ … }). ${hint}`,
  );
}
