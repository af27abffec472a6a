/** What a command is given: the service it asks, where it prints, and how it is stopped. */
import type { FleetDatabase, FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import type { FirstBoot, RunProgress } from '../service/model.ts';
import type { Output, Sink } from './output.ts';
import { BackupError } from '../words/errors.ts';

/** The service, and what only the command line asks of it. */
export interface CliService extends BackupServicePort {
  /** Checks any SQLite file, whether it is in a catalog or not. */
  verifyFile(path: string, options?: { readonly full?: boolean }): ReturnType<BackupServicePort['verifyFile']>;
  recoveryKit(): Promise<string>;
  /** See `BackupService.restoreIfMissing`. */
  restoreIfMissing(options?: {
    readonly identityFile?: string;
    readonly fromOther?: boolean;
    readonly allowPlain?: boolean;
    readonly onProgress?: (run: RunProgress) => void;
  }): Promise<FirstBoot>;
  close(): Promise<void>;
}

export interface CliPlaces {
  /** The configuration file; else one is looked for in the working folder. */
  readonly configPath?: string;
  /** Runs none: whoever presses a key in a folder has not asked for what lies there. */
  readonly isWithoutConfig?: true;
  /** Where a configuration has a list, one of it, also by its name. */
  readonly databasePath?: string;
  readonly backupsPath?: string;
}

export interface CliContext {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  readonly createService: (
    places: CliPlaces,
    log: (line: string, level: string) => void,
  ) => CliService | CliFleet | Promise<CliService | CliFleet>;
  /** Runs the server until the signal is aborted. */
  readonly serve: (places: CliPlaces, signal: AbortSignal, options: ServeOptions) => Promise<void>;
  readonly color?: boolean;
  /** Left out where no person sits at a terminal. */
  readonly ask?: Ask;
  readonly now?: () => Date;
}

interface ServeOptions {
  readonly restoreIfMissing?: { readonly identityFile?: string; readonly allowPlain?: boolean };
}

export interface Session {
  readonly service: CliService;
  /** Its name, as one of several. */
  readonly database?: string;
  /** Where there are several and none was picked. */
  readonly all?: FleetPort<CliService>;
  readonly output: Output;
  readonly now: () => Date;
  /** Undefined where nobody can be asked. */
  readonly ask: Ask | undefined;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}

export type Work = (session: Session) => Promise<number>;

export function wrongUse(message: string): BackupError {
  return new BackupError('BAD_REQUEST', message, { hint: 'See `velist-backup --help`.' });
}

/** What `--limit` says. @throws BackupError BAD_REQUEST */
export function countOf(text: string | undefined, { usual, most }: { usual: number; most: number }): number {
  const count = Number(text ?? usual);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw wrongUse(`--limit ${text} is not a number from 1 to ${most}`);
}

export function noBackup(message: string): BackupError {
  return new BackupError('NO_BACKUP', message, { hint: 'See `velist-backup list`.' });
}

/** Asks the person at the terminal; false unless the answer is yes. */
export type Ask = (question: string) => Promise<boolean>;

export type CliDatabase = FleetDatabase<CliService>;

interface CliFleet extends FleetPort<CliService> {
  close(): Promise<void>;
}
