/** What a job at a target is told of the database and of the installation that it works for. */
import { randomUUID } from 'node:crypto';
import { type Installation, installationPath, makerOf, readInstallation } from '../../engine/writer/installation.ts';
import type { DatabaseSelf, WriterSelf } from '../../engine/writer/self.ts';

/** Stands in for the id of the installation until a job has made its file, or where none can be written. */
const madeUpId = randomUUID();

export function writerSelf(self: DatabaseSelf, statePath: string): WriterSelf {
  const path = installationPath(statePath);
  const maker = self.maker ?? makerOf({ id: knownInstallation(path)?.id ?? madeUpId });
  return { ...self, maker, installationPath: path };
}

/** Null if there is none, or none that can be read: the job that needs it says why. */
export function knownInstallation(path: string): Installation | null {
  try {
    return readInstallation(path);
  } catch {
    return null;
  }
}
