/**
 * How a connection to the live database ends.
 *
 * An app that closed a descriptor of its own database file has lost its locks there. Our connection, as it closes, then
 * takes itself for the last one, merges the log and deletes it under the app, whose next commits go to a deleted file.
 * SQLite notices that from 3.51 on (https://sqlite.org/releaselog/3_51_0.html); with an older one no connection is closed:
 * it ends with the process of the job, and the log stays.
 */
import { closeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Kept, because what nothing refers to is closed by the garbage collector. */
const leftOpen: DatabaseSync[] = [];

/** @param descriptors of the database's files; closing one before the connection would drop its locks. */
export function endConnection(connection: DatabaseSync | undefined, descriptors: readonly number[]): void {
  if (connection && missesLostLocks(libraryVersion())) {
    leftOpen.push(connection);
    return;
  }
  connection?.close();
  for (const descriptor of descriptors) closeSync(descriptor);
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
