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
import type { BackupsConfig, DatabaseEntry, TargetSettings } from './define-config.ts';
import {
  type Environment,
  loadEnvironment,
  processVariables,
  type Source,
  type Variables,
  wrongSettings,
} from './env.ts';
import { PREFIX_BY_DEFAULT, prefixBelow } from './prefix.ts';
import { variableNames } from './read-settings.ts';
import { fileVariable } from './secret-files.ts';
import type { Rows } from './setting.ts';
import { appSettings, databaseSettings, placeSettings, serverSettings } from './settings.ts';
import { folderSettings, s3Settings } from './target-settings.ts';
import { unknownSetting } from './unknown-names.ts';

const settingVariables = variablesOf(databaseSettings);
const s3Variables = variablesOf(s3Settings);
const folderVariables = variablesOf(folderSettings);
const { enabled: _, ...onS3 } = s3Settings;
const { compression, encryptionRecipient } = databaseSettings;
/** By the kind of target; `s3` if none is said. */
const targetVariables = {
  s3: variablesOf({ ...onS3, compression, encryptionRecipient }),
  folder: variablesOf({ ...folderSettings, compression, encryptionRecipient }),
} as const satisfies Readonly<Record<TargetKind, object>>;
type TargetKind = NonNullable<TargetSettings['kind']>;
const isTargetKind = (kind: unknown): kind is TargetKind =>
  typeof kind === 'string' && Object.hasOwn(targetVariables, kind);
const placeVariables = variablesOf(placeSettings);
const topVariables = { ...placeVariables, ...variablesOf(serverSettings) };

/** By key; that of a secret may have `File` behind it. */
function variablesOf(rows: Rows): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(rows).flatMap(([key, { variable, isSecret }]) => [
      [key, variable],
      ...(isSecret ? [[`${key}File`, fileVariable(variable)]] : []),
    ]),
  );
}

/** Variables that no key stands for; a test keeps it empty. */
export function unreachableVariables(): readonly string[] {
  const reachable = new Set(
    [settingVariables, s3Variables, folderVariables, topVariables].flatMap((table) => Object.values(table)),
  );
  const elsewhere = Object.values(appSettings).map(({ variable }) => variable);
  return variableNames.filter((name) => !reachable.has(name) && !elsewhere.includes(name));
}

export interface Configured {
  /** What is common to all: address, sign-in, log. */
  readonly common: Environment;
  /** Whether databases are called by their names; without a list there is one, and it has the paths of the environment. */
  readonly isMany: boolean;
  readonly entries: readonly ConfiguredEntry[];
}

type ConfiguredEntry = ConfiguredDatabase | ConfiguredGlob;

interface ConfiguredDatabase {
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

interface ConfigSource {
  /** What faults call the file. */
  readonly file: string;
  readonly variables?: Variables;
}

/** Without a list there is the database of the environment. */
export function oneDatabase(environment: Environment): Configured {
  const name = safeName(basename(environment.databasePath, extname(environment.databasePath)));
  return { common: environment, isMany: false, entries: [{ kind: 'database', name, environment }] };
}

/** @throws BackupError BAD_CONFIG with one line per fault: key, variable, value (never a secret's), what is allowed. */
export function readConfig(config: BackupsConfig, { file, variables = processVariables() }: ConfigSource): Configured {
  const hint = `Correct ${file}, then start again.`;
  const { databases, s3, folder, targets, ...settings } = asRecord(config, file, hint);
  const faults: string[] = [];
  const top = new Given(variables);
  top.take(settings, { ...settingVariables, ...topVariables }, '', faults);
  top.takeGroups({ s3, folder, targets }, '', faults);
  const given = entriesOf(databases, faults);
  const entries = given.map((entry, index) => {
    const { path, glob, name, s3: ownS3, folder: ownFolder, targets: ownTargets, ...own } = entry;
    const where = `databases[${index}].`;
    const values = new Given(top);
    values.take(
      { ...own, ...(path === undefined ? {} : { path }) },
      { ...settingVariables, ...placeVariables },
      where,
      faults,
    );
    values.takeGroups({ s3: ownS3, folder: ownFolder, targets: ownTargets }, where, faults);
    return { values, where, path, glob, name: name ?? nameOfEntry(entry) };
  });
  faults.push(...faultsOfNames(entries, databases !== undefined && databases !== null && 'path' in settings));
  if (faults.length > 0)
    throw wrongSettings(
      faults.map((line) => `${file}: ${line}`),
      hint,
    );

  const common = withTargets(loadEnvironment(top.variables, top.source(file, hint)), top, { file, hint });
  if (databases === undefined || databases === null) return oneDatabase(common);
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
            ...(isOwn('BACKUP_S3_PATH') ? {} : { BACKUP_S3_PATH: prefixBelow(backup.s3Path, ofName) }),
            ...place,
          },
          source,
        );
        const placed = isOwn('BACKUP_FOLDER_PATH') ? environment : withOwnFolder(environment, ofName);
        return withTargets(placed, values, { file, hint, where, ofName, isGlob: glob !== undefined });
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
    const load = (more: Variables) => loadEnvironment({ ...variables, ...more }, target.source(of.file, of.hint));
    const key = target.keyOf(target.kind === 'folder' ? 'BACKUP_FOLDER_PATH' : 'BACKUP_S3_PATH');
    const isOwn = !of.isGlob && of.where !== undefined && key?.startsWith(of.where) === true;
    const below = isOwn ? undefined : of.ofName;
    if (target.kind === 'folder') return { name, environment: withOwnFolder(load({}), below) };
    // As it was written: in quotes or blank it has never been read like the one of `s3` before a name was put behind it.
    const path = (variables['BACKUP_S3_PATH'] ?? PREFIX_BY_DEFAULT).trim();
    const own = below === undefined ? path : prefixBelow(path, below);
    return { name, environment: load({ BACKUP_S3_ENABLED: 'true', BACKUP_S3_PATH: own }) };
  });
  return { ...environment, targets };
}

/** The mark lies in the folder of all, so that it is made once; each database has a folder in it. */
function withOwnFolder(environment: Environment, prefix = ''): Environment {
  const { backup } = environment;
  return { ...environment, backup: { ...backup, folder: backup.folder && { ...backup.folder, prefix } } };
}

/** Keys that may have a list. */
const lists: ReadonlySet<string> = new Set(
  Object.entries(databaseSettings)
    .filter(([, { start }]) => Array.isArray(start))
    .map(([key]) => key),
);

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
  /** Matters for a target alone. */
  kind: TargetKind = 's3';

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
      hint: `${hint} Settings that the file leaves out are read from the environment.`,
    };
  }

  take(settings: unknown, table: Readonly<Record<string, string>>, where: string, faults: string[]): void {
    if (settings === undefined) return;
    if (!isRecord(settings)) {
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
        faults.push(`${where}${key}: is empty; leave it out, or set it to null for the default`);
      else if (value === null) this.#set(variable, where + key, undefined);
      else if (['string', 'number', 'boolean'].includes(typeof value)) this.#set(variable, where + key, String(value));
      else if (Array.isArray(value) && lists.has(key)) this.#set(variable, where + key, value.join(','));
      else faults.push(`${where}${key}: must be text, a number, true or false`);
    }
  }

  takeGroups(
    { s3, folder, targets }: Pick<LooseEntry, 's3' | 'folder' | 'targets'>,
    where: string,
    faults: string[],
  ): void {
    this.take(s3, s3Variables, `${where}s3.`, faults);
    this.take(folder, folderVariables, `${where}folder.`, faults);
    this.#takeTargets(targets, where, faults);
  }

  #takeTargets(targets: unknown, where: string, faults: string[]): void {
    if (targets === undefined || targets === null) return;
    if (!isRecord(targets)) {
      faults.push(`${where}targets: must be an object with a target for each name`);
      return;
    }
    for (const [name, settings] of Object.entries(targets)) {
      const of = `${where}targets.${name}`;
      const target = new Given({});
      const { kind = 's3', ...rest } = isRecord(settings) ? settings : {};
      if (isTargetKind(kind)) target.kind = kind;
      else faults.push(`${of}.kind: must be ${Object.keys(targetVariables).join(' or ')}`);
      target.take(isRecord(settings) ? rest : settings, targetVariables[target.kind], `${of}.`, faults);
      if (target.kind === 'folder' && target.variables['BACKUP_FOLDER_PATH'] === undefined)
        faults.push(`${of}.path: is missing; it is the folder`);
      if (!TARGET_NAME.test(name) || name === 'local' || name === 's3')
        faults.push(`${of}: the name is not allowed; use lower-case letters, digits and hyphens, but not local or s3`);
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
        ? 'needs either a path or a glob'
        : name !== undefined && !(typeof name === 'string' && NAME.test(name) && name.length <= NAME_CHARACTERS_MAX)
          ? `the name ${JSON.stringify(name)} is not allowed; use lower-case letters, digits, dots, - and _, for example shop-2`
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
  const faults = hasPath ? ['path: cannot be used together with databases; name it in the list'] : [];
  for (const [index, { name, glob, where }] of entries.entries()) {
    const key = `${where}name`;
    const before = entries.slice(0, index);
    if (glob !== undefined && name.includes('.'))
      faults.push(`${key}: ${name} has a dot; the name of a glob must not: its databases are called <name>.<file>`);
    if (before.some((other) => other.name === name))
      faults.push(`${key}: two are called ${name}, and each has a folder with its name; give one of them another name`);
    const around = entries.find((other) => other.glob !== undefined && name.startsWith(`${other.name}.`));
    if (glob === undefined && around)
      faults.push(`${key}: ${name} could be a file of the glob ${around.name}; choose a name with another beginning`);
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

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asRecord(config: unknown, file: string, hint: string): Readonly<Record<string, unknown>> {
  if (isRecord(config)) return config;
  const how = `Write export default defineConfig({ … }). ${hint}`;
  throw wrongSettings([`${file}: does not export a configuration`], how);
}
