/** Which database a service works for and on which installation, as its jobs say it at the places that they write to. */
import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { type Installation, installationPath, makerOf, readInstallation } from '../engine/installation.ts';
import type { DatabaseSelf } from '../engine/jobs/protocol.ts';
import { truePath } from './discovery.ts';

/** Stands in for the id of the installation until a job has made its file, or where none can be written. */
const madeUpId = randomUUID();

export function databaseSelf(paths: { readonly database: string; readonly state: string }): DatabaseSelf {
  const path = installationPath(paths.state);
  return {
    databaseId: null,
    name: basename(paths.database),
    pathDigest: digest(truePath(paths.database)),
    machineDigest: digest(hostname()),
    maker: makerOf({ id: knownInstallation(path)?.id ?? madeUpId }),
    installationPath: path,
  };
}

/** Null where there is none, or none that can be read: the job that needs it says why. */
export function knownInstallation(path: string): Installation | null {
  try {
    return readInstallation(path);
  } catch {
    return null;
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
