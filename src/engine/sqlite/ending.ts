/**
 * How a connection to the live database ends.
 *
 * An app that closed a descriptor of its own database file has lost its locks there. Our connection, as it closes, then
 * takes itself for the last one, merges the log and deletes it under the app, whose next commits go to a deleted file.
 * SQLite notices that from 3.51 on (https://sqlite.org/releaselog/3_51_0.html). With an older one, a connection beside
 * others is not closed: it ends with the process of the job, and the log stays.
 */
import { closeSync, existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { whoHasOpen } from './open-files.ts';

export interface Opened {
  /** The real path. */
  readonly path: string;
  /** The log had an index before we connected: somebody is connected, or crashed. */
  readonly hadIndex: boolean;
  /** Descriptors of the database and the files beside it. They are closed after the connection: closing one drops its locks. */
  readonly descriptors: number[];
}

/** To be called before a connection is opened. */
export function aboutToOpen(path: string): Opened {
  return { path, hadIndex: existsSync(`${path}-shm`), descriptors: [] };
}

/** Kept referenced, because the garbage collector would close it. */
const leftOpen: DatabaseSync[] = [];

export function endConnection(connection: DatabaseSync | undefined, opened: Opened): void {
  if (connection && missesLostLocks(libraryVersion()) && isBesideOthers(opened)) {
    leftOpen.push(connection);
    return;
  }
  connection?.close();
  for (const descriptor of opened.descriptors) closeSync(descriptor);
}

/**
 * If nobody else is connected, we close: the user of the app may lack the right to open an index that we leave behind.
 */
function isBesideOthers({ path, hadIndex }: Opened): boolean {
  return existsSync(`${path}-shm`) && (hadIndex || whoHasOpen(path).by.length > 0);
}

/** Ends the process. With a connection left open nothing may tidy up: an orderly exit could close it. */
export function endProcess(code: number): never {
  if (leftOpen.length > 0 && 'reallyExit' in process && typeof process.reallyExit === 'function')
    process.reallyExit(code);
  process.exit(code);
}

export function missesLostLocks(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === 3 && minor < 51;
}

let known: string | undefined;

function libraryVersion(): string {
  if (known === undefined) {
    const memory = new DatabaseSync(':memory:');
    known = String(memory.prepare('SELECT sqlite_version() AS version').get()?.version);
    memory.close();
  }
  return known;
}
