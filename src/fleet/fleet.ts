/**
 * Guards many databases: a `BackupService` for each, with its own folder, state and verdict.
 *
 * Globs are looked at again every minute; a new file is guarded from then on. One that vanished stays, with its backups
 * listed and restorable, and its verdict says that the file is gone; nothing is removed because of that. The load is
 * bounded: schedules begin one after the other and take turns at their jobs.
 */
import { join } from 'node:path';
import type { Configured, ConfiguredGlob } from '../config/config-file.ts';
import type { Environment } from '../config/env.ts';
import { BackupError } from '../words/errors.ts';
import { runJob } from '../engine/process/run-job.ts';
import { type FileStamp, isUnchanged, stampOf } from '../engine/disk/file-stamp.ts';
import { FOUND_FILE } from '../engine/format/names.ts';
import { truePath } from '../engine/disk/true-path.ts';
import { addressOf, identityOf, type TargetAccess } from '../engine/store/kinds.ts';
import { type Act, Audit } from '../service/audit/audit.ts';
import type { BackupService } from '../service/backup-service.ts';
import {
  findDatabases,
  type FoundDatabase,
  holdsBackups,
  refuseLink,
  rememberDatabase,
  rememberedDatabases,
} from './discovery.ts';
import {
  auditSinkOf,
  createService,
  furtherTargetsOf,
  type ServiceOverrides,
  writeToConsole,
} from '../service/from-environment.ts';
import type { FleetDatabase, FleetPort } from './fleet-port.ts';
import { Replication } from '../service/continuous/replication.ts';
import { Heartbeats } from '../service/targets/heartbeats.ts';
import { type ConfiguredTarget, remoteTargets } from '../service/targets/targets.ts';
import { createLog, type Log } from '../service/log.ts';
import type { AuditEntry, AuditFilter } from '../service/model.ts';
import { openStateDatabase, type StateDatabase } from '../service/state/state-database.ts';
import { JobSlots } from '../service/runs/job-slots.ts';

const LOOK_EVERY_MS = 60_000;
/** All schedules have begun within a minute. */
const BEGIN_WITHIN_MS = 60_000;
const BEGIN_APART_MS = 1_000;

interface Watched extends FleetDatabase<BackupService> {
  /** Which entry of the configuration it is of. */
  readonly entry: number;
  readonly environment: Environment;
  /** Where a glob's backups are, and what it is called there. */
  readonly record: { readonly folder: string; readonly file: string; readonly refuseLink: () => void } | null;
}

export class Fleet implements FleetPort<BackupService> {
  readonly #configured: Configured;
  readonly #overrides: ServiceOverrides;
  readonly #log: Log;
  readonly #slots = new JobSlots();
  readonly #heartbeats = new Heartbeats();
  #sharedReplication: Replication | null = null;
  /** Records what is done to all of them. */
  readonly #audit: Audit;
  #stateOpened: StateDatabase | undefined;
  #watched: readonly Watched[] = [];
  /** Which database has a file or folder that no other may have. */
  readonly #owners = new Map<string, string>();
  readonly #refused = new Set<string>();
  /** The notes in the folders of what globs have found, as they were written. */
  readonly #remembered = new Map<string, FileStamp>();
  #looking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #starter: NodeJS.Timeout | undefined;
  readonly #toStart = new Set<Watched>();
  #started = false;

  private constructor(configured: Configured, overrides: ServiceOverrides) {
    this.#configured = configured;
    this.#overrides = overrides;
    this.#log = createLog({ format: configured.common.logFormat, write: overrides.write ?? writeToConsole });
    const warn = (message: string) => this.#log('warn', message);
    const { statePath } = configured.common.backup;
    this.#audit = new Audit({
      ...{ folder: null, name: null, now: () => new Date(), warn, sink: auditSinkOf(configured.common, overrides) },
      database: () => (this.#stateOpened ??= openStateDatabase(statePath, { warn })),
    });
  }

  /**
   * Makes the services and looks for files. Nothing is scheduled before `start`.
   *
   * @param overrides of places: for the one database of a configuration without a list.
   * @throws BackupError BAD_CONFIG when two databases would share a file, a folder, a state file or a prefix.
   */
  static async open(configured: Configured, overrides: ServiceOverrides = {}): Promise<Fleet> {
    const fleet = new Fleet(configured, overrides);
    try {
      for (const [index, entry] of configured.entries.entries())
        if (entry.kind === 'database') fleet.#add(index, entry.name, entry.environment, null);
      await fleet.#look();
      await fleet.#warnOfOldFolder();
      return fleet;
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  /** Address, sign-in and log, which all have in common. */
  get common(): Environment {
    return this.#configured.common;
  }

  get isMany(): boolean {
    return this.#configured.isMany;
  }

  get databases(): readonly FleetDatabase<BackupService>[] {
    return this.#watched;
  }

  getAudit(filter: AuditFilter): readonly AuditEntry[] {
    const own = this.#configured.isMany ? this.#audit.list(filter) : [];
    const all = [...own, ...this.#watched.flatMap(({ service }) => service.getAudit(filter))];
    return all.sort((a, b) => b.at.getTime() - a.at.getTime()).slice(0, filter.limit);
  }

  recordAct(act: Act): void {
    const [only] = this.#watched;
    if (!this.#configured.isMany && only) only.service.recordAct(act);
    else this.#audit.add(act);
  }

  get(name: string): BackupService | undefined {
    return this.#watched.find((one) => one.name === name)?.service;
  }

  /** As `BackupService.start`, for each; they begin one after the other. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    for (const one of this.#watched) this.#toStart.add(one);
    this.#startNext();
    if (!this.#configured.entries.some(({ kind }) => kind === 'glob')) return;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** Ends all schedules; resolves when what was running has ended. */
  async stop(): Promise<void> {
    this.#started = false;
    clearInterval(this.#timer);
    clearTimeout(this.#starter);
    this.#starter = undefined;
    this.#toStart.clear();
    await this.#looking;
    await Promise.all(this.#watched.map(({ service }) => service.stop()));
  }

  /** As `stop`, and lets go of everything. It is not used afterwards. */
  async close(): Promise<void> {
    await this.stop();
    await this.#remember();
    await Promise.all(this.#watched.map(({ service }) => service.close()));
    this.#stateOpened?.close();
    this.#stateOpened = undefined;
  }

  /** Looks for new files now; else every minute. What is wrong is logged. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) =>
        this.#log('error', `Looking for databases failed: ${BackupError.from(error).message}.`),
      )
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { entries } = this.#configured;
    const globs = entries.flatMap((entry, index) => (entry.kind === 'glob' ? [{ entry, index }] : []));
    if (globs.length === 0) return;
    const notIn = [
      ...globs.map(({ entry }) => entry.localPath),
      ...this.#watched.map(({ service }) => service.getConfig().localPath),
    ];
    for (const { entry, index } of globs) {
      const found = await findDatabases(entry, { notIn });
      const known = new Set(this.#watched.map(({ name }) => name));
      const remembered = await rememberedDatabases(entry, known);
      for (const one of [...found, ...remembered]) if (!known.has(one.name)) this.#meet(index, entry, one);
      if (found.length === 0) this.#once(`No file matches ${entry.pattern}. It is checked every minute.`);
    }
    await this.#remember();
  }

  /** A list gives each database a folder of its own: what was made before there was one would be missed. */
  async #warnOfOldFolder(): Promise<void> {
    const { localPath } = this.#configured.common.backup;
    if (!this.isMany || this.#owners.has(`folder ${truePath(localPath)}`) || !(await holdsBackups(localPath))) return;
    this.#once(
      `The backups in ${localPath} itself belong to none of the databases. Set localPath: '${localPath}', and s3.path if they are on S3 too, for the one that they belong to.`,
    );
  }

  #meet(index: number, entry: ConfiguredGlob, { name, path, file }: FoundDatabase): void {
    if (this.#watched.some((one) => one.name === name)) return;
    // Named in the list by its path, or found by an earlier glob.
    if (this.#owners.has(`database ${truePath(path)}`)) return;
    try {
      refuseLink(entry, file);
      const environment = entry.environmentOf(name, path);
      const record = { folder: environment.backup.localPath, file, refuseLink: () => refuseLink(entry, file) };
      const watched = this.#add(index, name, environment, record);
      if (!this.#started) return;
      this.#log('info', `Found a database: ${name} (${path})`);
      this.#toStart.add(watched);
      this.#startNext();
    } catch (error) {
      const known = BackupError.from(error);
      this.#once(`${path} is not backed up: ${known.message}. ${known.hint}`);
    }
  }

  /** One replicator for all databases. */
  #replication({ jobEnvironment }: Environment): Replication {
    this.#sharedReplication ??= new Replication(jobEnvironment);
    return this.#sharedReplication;
  }

  #add(entry: number, name: string, environment: Environment, record: Watched['record']): Watched {
    const isMany = this.#configured.isMany;
    const { write, writeAudit } = this.#overrides;
    const service = createService(
      environment,
      isMany ? { write, writeAudit } : this.#overrides,
      isMany
        ? {
            ...{
              name,
              turns: this.#slots,
              heartbeats: this.#heartbeats,
              replication: this.#replication(environment),
              databasesOnDisk: () => this.#watched.length,
            },
            ownerOfPlace: (access, prefix) => this.#ownerOfPlace(access, prefix, name),
            ...(record && { runJob: afterLookingAt(record) }),
          }
        : {},
    );
    const watched = { name, service, entry, environment, record };
    // Nobody shares a place with the only one, and its settings are not read before they are needed.
    if (isMany) this.#takePlaces(watched);
    this.#watched = [...this.#watched, watched].sort((a, b) => a.entry - b.entry || (a.name < b.name ? -1 : 1));
    return watched;
  }

  /** @throws BackupError BAD_CONFIG when another one has one of them. */
  #takePlaces({ name, service, environment }: Watched): void {
    const { databasePath, backup } = environment;
    const places = new Map<string, string>();
    const add = (place: string, key = place) => places.set(key, place);
    for (const place of [
      `database ${truePath(databasePath)}`,
      `folder ${truePath(backup.localPath)}`,
      `state file ${truePath(backup.statePath)}`,
    ])
      add(place);
    const further = furtherTargetsOf(environment);
    for (const { access, prefix } of remoteTargets({ targets: further }, service.getConfig())) {
      const place = `place ${addressOf(access, prefix)}`;
      add(place);
      // One folder may have several names.
      add(place, `place ${identityOf(access, prefix)}`);
    }
    // A file may not be the history of one and the database of another either.
    const crossed = [`database ${truePath(backup.statePath)}`, `state file ${truePath(databasePath)}`];
    for (const [key, place] of [...places, ...crossed.map((one) => [one, one] as const)]) {
      const owner = this.#owners.get(key);
      if (owner !== undefined) throw shared(place, owner, name);
    }
    // As they are now: the page may have changed them.
    for (const { name: target, access, prefix } of service.configuredTargets()) {
      if (further.some((one) => one.name === target)) continue;
      const owner = this.#ownerOfPlace(access, prefix, name);
      if (owner !== null)
        throw shared(target === 's3' ? `prefix ${prefix} on S3` : `place ${addressOf(access, prefix)}`, owner, name);
    }
    for (const key of places.keys()) this.#owners.set(key, name);
  }

  #ownerOfPlace(access: TargetAccess, prefix: string, except: string): string | null {
    const names = [addressOf(access, prefix), identityOf(access, prefix)];
    const fixed = names.flatMap((name) => this.#owners.get(`place ${name}`) ?? []).find((name) => name !== except);
    if (fixed !== undefined) return fixed;
    // A look at the disk, which only folders need.
    const isThere = ({ access: other, prefix: at }: ConfiguredTarget) =>
      other.kind === access.kind &&
      (addressOf(other, at) === names[0] || (other.kind === 'folder' && identityOf(other, at) === names[1]));
    const owner = this.#watched.find(
      ({ name, service }) => name !== except && service.configuredTargets().some(isThere),
    );
    return owner?.name ?? null;
  }

  #startNext(): void {
    if (this.#starter !== undefined) return;
    const [next] = this.#toStart;
    if (!next) return;
    this.#toStart.delete(next);
    next.service.start();
    const apartMs = Math.min(BEGIN_APART_MS, BEGIN_WITHIN_MS / this.#watched.length);
    this.#starter = setTimeout(() => {
      this.#starter = undefined;
      this.#startNext();
    }, apartMs);
    this.#starter.unref();
  }

  /** What was written is looked at each time, because a person may remove it. */
  async #remember(): Promise<void> {
    for (const { name, record } of this.#watched) {
      if (!record) continue;
      const note = join(record.folder, FOUND_FILE);
      const before = this.#remembered.get(name);
      if (before && isUnchanged(note, before)) continue;
      await rememberDatabase(record.folder, record.file);
      this.#remembered.set(name, stampOf(note));
    }
  }

  #once(message: string): void {
    if (this.#refused.has(message)) return;
    this.#refused.add(message);
    this.#log('warn', message);
  }
}

/** A file that was found may have become a link since. */
function afterLookingAt({ refuseLink: refuse }: { readonly refuseLink: () => void }): typeof runJob {
  return async (request, options) => {
    if ('databasePath' in request) refuse();
    return await runJob(request, options);
  };
}

function shared(place: string, owner: string, name: string): BackupError {
  return new BackupError('BAD_CONFIG', `${owner} and ${name} would share the ${place}`, {
    hint: 'Give each database a name, a folder and a prefix of its own in the configuration.',
  });
}
