/**
 * What every part of the service needs, compiled once: which database and folder, the clock, the log, the jobs, the state,
 * the runs, who listens. What is opened pushes its release here, and `release` runs them in reverse order.
 */
import { isAbsolute, basename, join, resolve } from 'node:path';
import { Catalog } from '../engine/catalog/folder-catalog.ts';
import { BackupError, hideFoldersOf } from '../words/errors.ts';
import { requireApart } from './apart.ts';
import { Audit } from './audit/audit.ts';
import type { Log } from './log.ts';
import type { ServiceEvent } from './service-event.ts';
import { DatabaseWatch } from './protection/missing.ts';
import { Jobs } from './runs/jobs.ts';
import { Runs } from './runs/runs.ts';
import type { BackupServiceOptions, NotifyOptions } from './service-options.ts';
import type { Settings } from './state/backup-config.ts';
import { Credentials } from './state/credentials.ts';
import { OtherProcesses } from './state/other-processes.ts';
import { SettingsFile } from './state/settings.ts';
import { folderInState } from './state/state-database.ts';
import { State } from './state/state.ts';
import { type AskedTarget, Places } from './targets/places.ts';
import { withStored, type WithStored } from './targets/stored-targets.ts';
import { checkTargets, type TargetOptions } from './targets/targets.ts';

const WAITS = { lockMs: 30_000, pinMs: 30_000 } as const;
const SAID_MAX = 1_000;

/** A path: absolute from the beginning, because an app may change its working folder later, and as it was configured. */
interface NamedPath {
  readonly path: string;
  readonly named: string;
}

export class ServiceContext {
  readonly options: BackupServiceOptions;
  /** Never opened in this process. */
  readonly database: NamedPath & { readonly name: string };
  /** The backups; `inState` is how the state calls it. */
  readonly folder: NamedPath & { readonly inState: string };
  readonly statePath: string;
  readonly now: () => Date;
  readonly log: Log;
  readonly waits: NonNullable<BackupServiceOptions['waits']>;
  readonly catalog: Catalog;
  readonly places: Places;
  readonly state: State;
  readonly audit: Audit;
  readonly others: OtherProcesses;
  readonly runs: Runs;
  readonly jobs: Jobs;
  isStarted = false;
  /** While `stop` waits: what was queued ends before it begins. */
  isStopping = false;
  readonly #watch: DatabaseWatch;
  #settings: SettingsFile | undefined;
  #credentials: Credentials | undefined;
  #targets: (WithStored & { readonly s3Path: string }) | undefined;
  /** Warnings of jobs, each said once. */
  readonly #said = new Set<string>();
  readonly #listeners = new Set<(event: ServiceEvent) => void>();
  readonly #releases: (() => void)[] = [];

  /**
   * @param targets those beside the folder, as far as they can be used.
   * @throws BackupError BAD_CONFIG for targets, or paths, that cannot be told apart.
   */
  constructor(options: BackupServiceOptions, targets: () => readonly AskedTarget[]) {
    checkTargets(options, options.settings);
    const [database, backups, state] = [options.databasePath, options.backupsPath, options.statePath].map((path) =>
      resolve(path),
    ) as [string, string, string]; // as many as were given
    requireApart({ database, backups, state });
    const asGiven = [options.databasePath, options.backupsPath, options.statePath].filter(isAbsolute);
    // A file in the folder, because the folder may be named itself.
    const inFolders = [backups, process.cwd()].map((folder) => join(folder, '_'));
    hideFoldersOf([...asGiven, ...inFolders, database, state]);
    const inState = folderInState(state, backups);
    const warn = (message: string) => options.log('warn', message);
    const emit = (event: ServiceEvent) => this.emit(event);
    const now = options.now ?? (() => new Date());

    this.options = options;
    this.database = { path: database, named: options.databasePath, name: basename(options.databasePath) };
    this.folder = { path: backups, named: options.backupsPath, inState };
    this.statePath = state;
    this.now = now;
    this.log = options.log;
    this.waits = options.waits ?? WAITS;
    this.catalog = new Catalog(backups);
    this.places = new Places({
      ...{ database, catalog: this.catalog, statePath: state, log: options.log, now },
      remotes: targets,
    });
    this.state = new State({ path: state, folder: inState, databases: () => this.places.paths, warn });
    this.defer(() => this.state.close());
    this.audit = new Audit({
      ...{ folder: inState, name: options.audit?.name ?? null, sink: options.audit?.sink, now, warn },
      database: () => this.state.history.database,
    });
    this.others = new OtherProcesses({ state: this.state, folder: inState, now, emit });
    this.defer(() => this.others.close());
    this.#watch = new DatabaseWatch(database, () => emit({ type: 'status' }));
    this.defer(() => this.#watch.end());
    this.runs = new Runs({
      ...{ now, emit, history: () => this.state.history },
      onShown: (run) => this.others.show(run),
      onRecorded: (run) => this.others.recorded(run),
    });
    this.jobs = new Jobs({
      ...{ environment: options.jobEnvironment, slots: options.turns, runJob: options.runJob },
      warn: this.warnOnce,
      isStopping: () => this.isStopping,
    });
  }

  /** What was changed while running is kept in the folder and read once, when it is needed first. */
  get settings(): SettingsFile {
    this.#settings ??= new SettingsFile(this.folder.path, this.options.settings, {
      keepIsDefault: this.options.keepIsDefault,
      warn: (message) => this.log('warn', message),
      isOurs: () => !this.places.isForeign,
    });
    return this.#settings;
  }

  /** What was set up on the page, read once, when it is needed first. */
  get credentials(): Credentials {
    const warn = (message: string) => this.log('warn', message);
    this.#credentials ??= new Credentials(this.statePath, { folder: this.folder.inState, warn });
    return this.#credentials;
  }

  /** Those of the environment or the app's code, and what was set up on the page beside them. */
  get targets(): TargetOptions {
    return this.targetsAt(this.settings.current).targets;
  }

  /** The same, as they are with these settings: another path of S3 may bring a bucket of the page into conflict, or out of it. */
  targetsAt(settings: Settings): WithStored {
    const { s3Path } = settings;
    if (this.#targets?.s3Path === s3Path) return this.#targets;
    const found = { s3Path, ...withStored(this.options, this.credentials.current, settings) };
    if (s3Path !== this.settings.current.s3Path) return found;
    this.#targets = found;
    for (const [part, conflict] of Object.entries(found.conflicts)) {
      const word = part === 's3' ? 'bucket' : 'folder';
      if (conflict) this.warnOnce(`The ${word} that was set up on the page is not in use: ${conflict.message}.`);
    }
    return found;
  }

  /** The receivers of messages: of the environment or the app's code, else as they were set up on the page. */
  get voices(): NotifyOptions {
    const { voices } = this.options;
    const { webhook, heartbeat } = this.credentials.current;
    return {
      ...voices,
      webhookUrl: voices?.webhookUrl ?? webhook?.url ?? null,
      heartbeatUrl: voices?.heartbeatUrl ?? heartbeat?.url ?? null,
    };
  }

  /** Something was set up, or taken away. */
  credentialsChanged(): void {
    this.#targets = undefined;
  }

  readonly emit = (event: ServiceEvent): void => {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // A listener's fault must not become a failed backup.
        this.log('error', `An event listener failed: ${BackupError.from(error).message}`);
      }
    }
  };

  /** While somebody listens, other processes and the database's file are watched too. */
  on(listener: (event: ServiceEvent) => void): () => void {
    this.#listeners.add(listener);
    this.others.watch();
    this.#watch.begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.others.unwatch();
      this.#watch.end();
    };
  }

  /** Whatever was opened is released at the end, the last first. */
  defer(release: () => void): void {
    this.#releases.push(release);
  }

  release(): void {
    for (const release of this.#releases.toReversed()) release();
  }

  /** A fault that nobody mends would be reported at each run. */
  readonly warnOnce = (message: string): void => {
    if (this.#said.has(message)) return;
    if (this.#said.size >= SAID_MAX) this.#said.clear();
    this.#said.add(message);
    this.log('warn', message);
  };
}
