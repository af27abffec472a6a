/**
 * Which database we are: what a job must know to tell our places and backups from those of others. The path and the
 * machine appear only as digests, because a place may be read by many.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { Maker } from './installation.ts';
import { truePath } from '../disk/true-path.ts';

export interface DatabaseSelf {
  /** Null until it was given one. */
  readonly databaseId: string | null;
  /** Ids that it had before it took over a place of another id. */
  readonly formerIds: readonly string[];
  /** Its id was given while a target that was on could not be asked: there it may have another one. */
  readonly isProvisional: boolean;
  /** The name of its file. */
  readonly name: string;
  readonly pathDigest: string;
  readonly machineDigest: string;
  /** Null if nobody knows the installation. */
  readonly maker: Maker | null;
  /** The installation's own file; null if there is none. */
  readonly installationPath: string | null;
}

/** As a writer at a target says who it is. */
export type WriterSelf = DatabaseSelf & { readonly maker: Maker; readonly installationPath: string };

/** What can be told by the path alone. @param realPath if it is known where that leads. */
export function selfOf(databasePath: string, realPath = truePath(databasePath)): DatabaseSelf {
  return {
    databaseId: null,
    formerIds: [],
    isProvisional: false,
    name: basename(databasePath),
    pathDigest: digest(realPath),
    machineDigest: digest(`velist-backup ${machineId()}`),
    maker: null,
    installationPath: null,
  };
}

export function idsOf({ databaseId, formerIds }: Pick<DatabaseSelf, 'databaseId' | 'formerIds'>): readonly string[] {
  return databaseId === null ? formerIds : [databaseId, ...formerIds];
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

let machine: string | undefined;

/**
 * A container that was created again has another one, but its volumes stay.
 * https://man7.org/linux/man-pages/man5/machine-id.5.html
 */
function machineId(): string {
  machine ??= readMachineId() ?? hostname();
  return machine;
}

function readMachineId(): string | null {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim() || null;
  } catch {
    return null;
  }
}
