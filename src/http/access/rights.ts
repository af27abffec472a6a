/** Rights that one verdict does not settle: on several databases, and on what a change would remove. */
import { isDeepStrictEqual } from 'node:util';
import { BackupError } from '../../words/errors.ts';
import type { FleetDatabase } from '../../fleet/fleet-port.ts';
import type { BackupConfig } from '../../service/model.ts';
import { keepNames, retentionNames } from '../../service/targets/retention-policies.ts';
import type { ConfigChange } from '../contract.ts';
import { type Access, type AccessOptions, authorize } from './auth.ts';
import type { Asked } from '../route.ts';
import type { Action } from './authorize.ts';
import { passwordAgain } from './sign-in.ts';

export interface Allowed {
  /** Those of several databases on which the right was given, if each was asked for. */
  readonly allowed?: readonly FleetDatabase[];
  /** The right was given on all of them at once. */
  readonly isAllowedAll?: boolean;
}

/**
 * The right on all databases at once, or on each that it is given for.
 *
 * @throws BackupError when it is given for none.
 */
export async function authorizeForSome(
  request: Request,
  action: Action,
  databases: readonly FleetDatabase[],
  options: AccessOptions,
): Promise<Access & Allowed> {
  try {
    return { ...(await authorize(request, action, options)), allowed: databases, isAllowedAll: true };
  } catch (refused) {
    if (!(refused instanceof BackupError) || refused.code !== 'FORBIDDEN' || !options.authorize) throw refused;
    const asked = await Promise.allSettled(databases.map(({ name }) => authorize(request, action, options, name)));
    for (const one of asked) {
      const isRefused =
        one.status === 'rejected' && one.reason instanceof BackupError && one.reason.code === 'FORBIDDEN';
      if (one.status === 'rejected' && !isRefused) throw one.reason;
    }
    const allowed = databases.filter((_, index) => asked[index]?.status === 'fulfilled');
    const access = asked.find((one) => one.status === 'fulfilled')?.value;
    if (!access) throw refused;
    return { ...access, allowed };
  }
}

/**
 * A bucket or a folder gets all data from then on: whoever names it could read everything, and a session that somebody left
 * open must not be enough.
 */
export async function authorizePlace({ authorize: ask, request, site }: Pick<Asked, 'authorize' | 'request' | 'site'>) {
  await ask('download');
  if (site.signIn?.isFresh(request) === false)
    throw passwordAgain('you signed in more than an hour ago, and this says where all data goes');
}

/** The next run removes what is no longer kept: to say how much that is, is to delete. */
export async function authorizeRetention(ask: (action: Action) => Promise<Access>): Promise<void> {
  try {
    await ask('delete');
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'FORBIDDEN') throw error;
    throw new BackupError('FORBIDDEN', 'changing what is kept removes backups, and needs the right to delete them', {
      hint: 'Nothing was changed. Save the other settings alone, or ask somebody who may delete backups.',
      cause: error,
    });
  }
}

export function changesRetention({ revert = [], ...change }: ConfigChange, config: BackupConfig): boolean {
  const { intervalMinutes: before } = config;
  const after =
    change.intervalMinutes ?? (revert.includes('intervalMinutes') ? config.changed.intervalMinutes : before) ?? before;
  // Where the count alone decides, backups that come more often push the older ones out.
  const isHastened = config.cron === null && after < before && keepNames.every((name) => config[name] === 0);
  return (
    isHastened ||
    retentionNames.some(
      (name) =>
        (change[name] !== undefined && !isDeepStrictEqual(change[name], config[name])) ||
        (revert.includes(name) && config.changed[name] !== undefined),
    )
  );
}
