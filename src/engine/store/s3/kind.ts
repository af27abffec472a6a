/** A bucket as a target. */
import { createHash } from 'node:crypto';
import { deletes, lists, looksUp, reads, type TestedTarget, writes } from '../self-test-checks.ts';
import { isLoopback } from '../../../words/loopback.ts';
import type { Kind } from '../kind.ts';
import { hoursOf } from './archive-classes.ts';
import type { S3Access } from './access.ts';
import { connectS3 } from './connection.ts';
import { s3Kit } from './kit.ts';
import { leastPrivilegePolicy } from './policy.ts';
import { createsOnly, isHopelessAnswer, keepsTime, keepsVersions, listsUploads, uploadsParts } from './self-test.ts';
import { deletesNothing, overwritesNothing, rulesAreAsSet } from './self-test-append-only.ts';
import { isPrivateBucket } from './self-test-strangers.ts';
import { contactWith } from './self-test-contact.ts';
import { createS3Store } from './store.ts';
import { s3Words } from './words.ts';

/** The waits of a request that stands beside others: they can wait for the next one. */
const quick = { maxAttempts: 2, connectTimeoutMs: 5_000, requestTimeoutMs: 15_000 } as const;
/** For a person who waits: two tries instead of six, and no minute for a server that does not answer. */
const forPerson = { maxAttempts: 2, connectTimeoutMs: 8_000, requestTimeoutMs: 20_000 } as const;

export const s3Kind: Kind<S3Access> = {
  words: s3Words,

  open: (access, prefix, { isQuick = false } = {}) => createS3Store({ ...access, ...(isQuick && quick), prefix }),

  addressOf,
  identityOf: addressOf,

  stateKeyOf: ({ endpoint, region, bucket }, prefix) => `${endpoint ?? `aws ${region}`}/${bucket}/${prefix}`,

  whereOf: ({ bucket }, prefix) => `s3://${bucket}/${prefix}`,

  wholeOf: ({ bucket }) => `bucket ${bucket}`,

  // The key of an account may get another secret while running.
  connectionOf: ({ endpoint, region, bucket, accessKeyId, secretAccessKey, forcePathStyle }) =>
    JSON.stringify([endpoint, region, bucket, accessKeyId, digest(secretAccessKey ?? ''), forcePathStyle]),

  // Addresses are shown.
  faultOf: ({ endpoint }) =>
    endpoint?.includes('@')
      ? {
          what: 'the endpoint has a name or a password in it',
          hint: 'Give them as accessKeyId and secretAccessKey, and only host and port as the endpoint.',
        }
      : null,

  lifecycleDaysOf: ({ lifecycleDays }) => lifecycleDays ?? null,

  archiveHoursOf: ({ endpoint }, storageClass) =>
    hoursOf(storageClass, endpoint?.replaceAll(/^https?:\/\/|[:/].*$/g, '')),

  risksOf: ({ endpoint, bucket }, { publicBuckets }) => ({
    plainHost: plainHostOf(endpoint),
    isAlsoPublic: publicBuckets.includes(bucket),
    isOnSameDisk: false,
  }),

  kit: s3Kit,

  test: bucketToTest,
};

// A bucket of Amazon has one name in all regions.
function addressOf({ endpoint, bucket }: S3Access, prefix: string): string {
  const host = endpoint?.toLowerCase().replaceAll(/^https?:\/\/|\/+$/g, '');
  return `${!host || host.endsWith('.amazonaws.com') ? 'aws' : host}/${bucket}/${prefix}`;
}

function bucketToTest(access: S3Access, prefix: string): TestedTarget {
  const days = access.lifecycleDays ?? null;
  // A locked test object could not be removed again. That this key cannot delete is found out by trying.
  const options = { ...access, ...forPerson, prefix, objectLock: null, lifecycleDays: null };
  const store = createS3Store(options);
  const connection = connectS3(options);
  const checks = [
    ...[writes, looksUp, reads, lists, isPrivateBucket(store, connection), keepsTime, createsOnly],
    ...[uploadsParts(connection), listsUploads(connection), keepsVersions(connection)],
    ...(days === null
      ? [deletes]
      : [rulesAreAsSet(connection, days), overwritesNothing(connection), deletesNothing(connection)]),
  ];
  const policy = leastPrivilegePolicy({
    ...connection.place,
    locks: Boolean(access.objectLock),
    isLeftToBucket: days !== null,
  });
  const close = () => {
    store.close();
    connection.close();
  };
  const contact = [...contactWith(connection.baseUrl)];
  return { store, checks, contact, policy, leavesTraces: days !== null, isHopeless: isHopelessAnswer, close };
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** `http://minio:9000` → `minio`; null for https, and on this machine. */
export function plainHostOf(endpoint: string | null | undefined): string | null {
  if (!endpoint || !URL.canParse(endpoint)) return null;
  const { protocol, hostname } = new URL(endpoint);
  return protocol === 'http:' && !isLoopback(hostname) ? hostname : null;
}
