/** The checks for a bucket that removes by its own rules: this key may neither delete nor spoil, and the rules are as set. */
import type { LifecycleRule, LifecycleRuleFilter } from '@aws-sdk/client-s3';
import { BackupError } from '../../../words/errors.ts';
import { type Check, failed, ok, once, warning } from '../self-test-checks.ts';
import { remoteKey, type S3Connection } from './connection.ts';
import { factsOf, s3Error } from './errors.ts';

/**
 * Where removal is left to the bucket, whoever steals this key must not be able to remove or to spoil what is there. It is
 * tried: a policy on paper proves nothing.
 */
export function overwritesNothing(connection: S3Connection): Check {
  return {
    name: 'overwrite',
    cannot: 'whether this key can overwrite what is there cannot be determined',
    needsObject: true,
    async run({ store, object, signal }) {
      const before = await versionOf(connection, object, { signal });
      const bytes = Buffer.from('written over by a self-test\n');
      const refused = await store.put(object, once(bytes), { sizeBytes: bytes.length, signal }).then(
        () => null,
        (error: unknown) => BackupError.from(error),
      );
      if (refused) {
        const { status = 0 } = factsOf(refused.cause);
        if (!REFUSALS.has(status)) throw refused;
        return ok('this key cannot overwrite what is there');
      }
      const after = await versionOf(connection, object, { signal });
      if (before.id !== null && after.id !== before.id)
        return ok('an overwrite makes a new version, and the previous one stays');
      return failed(
        'this key can overwrite what is there, and the bucket keeps no versions of it',
        'Turn on versioning for the bucket, ideally with object lock, or allow the key PutObject only on condition that the object is new (at Amazon: s3:if-none-match).',
      );
    },
  };
}

export function deletesNothing(connection: S3Connection): Check {
  return {
    name: 'delete',
    cannot: 'whether this key can delete what is there cannot be determined',
    needsObject: true,
    async run({ object, signal }) {
      const { id } = await versionOf(connection, object, { signal });
      const hint =
        'Take s3:DeleteObject and s3:DeleteObjectVersion away from it, as in the policy below; otherwise whoever steals it can remove the backups. If keys have roles, choose one that only reads and writes.';
      // The version first: behind a delete marker its number would have to be looked up.
      if (id !== null && (await deletes(connection, object, { signal, VersionId: id })))
        return failed('this key can delete versions for good', hint);
      if (!(await deletes(connection, object, { signal }))) return ok('this key cannot delete what is there');
      return id === null
        ? failed('this key can delete what is there', hint)
        : failed('this key can hide what is there behind a delete marker; its versions stay', hint);
    },
  };
}

interface VersionOptions {
  readonly signal: AbortSignal | undefined;
  readonly VersionId?: string;
}

/** Null if the bucket keeps no versions. */
async function versionOf(
  connection: S3Connection,
  key: string,
  { signal }: VersionOptions,
): Promise<{ readonly id: string | null }> {
  const target = { Bucket: connection.place.bucket, Key: remoteKey(connection, key) };
  const { VersionId } = await connection.send(
    (client, sdk, http) => client.send(new sdk.HeadObjectCommand(target), http),
    { key, signal },
  );
  return { id: VersionId === undefined || VersionId === 'null' ? null : VersionId };
}

/** False if it is refused, and where a server says yes and does nothing. */
async function deletes(connection: S3Connection, key: string, { signal, VersionId }: VersionOptions): Promise<boolean> {
  const target = { Bucket: connection.place.bucket, Key: remoteKey(connection, key), VersionId };
  try {
    await connection.send((client, sdk, http) => client.send(new sdk.DeleteObjectCommand(target), http), {
      ...{ key, signal, rawErrors: true },
    });
  } catch (error) {
    const { status = 0 } = factsOf(error);
    if (status === 403 || status === 405) return false;
    throw s3Error(error, connection.place, key);
  }
  try {
    await connection.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(target), http), {
      ...{ key, signal, rawErrors: true },
    });
    return false;
  } catch (error) {
    if (factsOf(error).status === 404) return true;
    throw s3Error(error, connection.place, key);
  }
}

/** Denied, not known there, or against the condition or the lock; another answer, as "slow down", says nothing. */
const REFUSALS: ReadonlySet<number> = new Set([403, 405, 409, 412]);

/** The days that were set must be those of the rule, or an idle database is stored anew too late. */
export function rulesAreAsSet(connection: S3Connection, days: number): Check {
  return {
    name: 'lifecycle',
    cannot: 'the rules of the bucket cannot be determined',
    async run({ signal }) {
      const rules = await rulesOf(connection, signal);
      if (rules === null) {
        return ok(
          `this key may not read the rules of the bucket; BACKUP_S3_LIFECYCLE_DAYS says ${days} days`,
          'Make sure that its lifecycle rule says the same.',
        );
      }
      const backups = `${connection.place.prefix === '' ? '' : `${connection.place.prefix}/`}backup-`;
      const found = rules.flatMap(({ Status, Expiration, Filter, Prefix }) => {
        const below = Filter?.Prefix ?? Filter?.And?.Prefix ?? Prefix ?? '';
        const isOfAll = !isOfSome(Filter) && backups.startsWith(below);
        return Status === 'Enabled' && isOfAll && Expiration?.Days ? [Expiration.Days] : [];
      });
      if (found.length === 0) {
        return warning(
          'no rule of the bucket removes old backups',
          `They pile up, and so do their costs. Add a lifecycle rule for ${backups} with an expiration of ${days} days; docs/s3.md has one.`,
        );
      }
      const shortest = Math.min(...found);
      if (shortest < days) {
        return failed(
          `a rule of the bucket removes backups after ${shortest} days, and BACKUP_S3_LIFECYCLE_DAYS says ${days}`,
          `The copy of an idle database would be gone before it is stored again. Set BACKUP_S3_LIFECYCLE_DAYS=${shortest}, or give the rule ${days} days.`,
        );
      }
      const more = shortest === days ? '' : `; BACKUP_S3_LIFECYCLE_DAYS says ${days}, which is on the safe side`;
      return ok(`a rule of the bucket removes backups after ${shortest} days${more}`);
    },
  };
}

/** Ours bear no tags, and are of any size. */
function isOfSome(filter: LifecycleRuleFilter = {}): boolean {
  const { Tag, And, ObjectSizeGreaterThan, ObjectSizeLessThan } = filter;
  const sizes = [ObjectSizeGreaterThan, ObjectSizeLessThan, And?.ObjectSizeGreaterThan, And?.ObjectSizeLessThan];
  return Tag !== undefined || (And?.Tags ?? []).length > 0 || sizes.some((size) => size !== undefined);
}

/** Null if the key may not read them, or the server has none. */
async function rulesOf(
  connection: S3Connection,
  signal: AbortSignal | undefined,
): Promise<readonly LifecycleRule[] | null> {
  const { bucket: Bucket } = connection.place;
  try {
    const { Rules = [] } = await connection.send(
      (client, sdk, http) => client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket }), http),
      { signal, rawErrors: true },
    );
    return Rules;
  } catch (error) {
    const { name, status = 0 } = factsOf(error);
    if (name === 'NoSuchLifecycleConfiguration') return [];
    if (status === 403 || status === 405 || status === 501) return null;
    throw s3Error(error, connection.place);
  }
}
