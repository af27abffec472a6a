/**
 * What an S3 failure means to a person. Servers and the SDK agree on status codes, mostly on error names, and hardly on
 * messages ("UnknownError" is common, a HEAD has no body at all), so the text is made from status, name and the code
 * of the network error alone. It names bucket and endpoint, never a key id, a secret or a signed address.
 */
import { BackupError, errnoCode } from '../../../words/errors.ts';
import { shellWord } from '../../../words/visible-text.ts';
import { hoursOf } from './archive-classes.ts';
import { aborted, notThere } from '../store.ts';
import { AnswerRefused } from './body.ts';

export interface S3Place {
  readonly bucket: string;
  readonly region: string;
  /** Host and port of the endpoint. */
  readonly host: string;
  /** What all keys begin with; may be empty. */
  readonly prefix: string;
}

export function describePlace({ bucket, host }: S3Place): string {
  return `bucket "${bucket}" at ${host}`;
}

/** Any error of the SDK as a `BackupError`. `key` is the object concerned, if one is. */
export function s3Error(error: unknown, place: S3Place, key?: string): BackupError {
  if (error instanceof BackupError) return error;
  if (error instanceof AnswerRefused) return error.told;
  const { name, status, attempts } = factsOf(error);
  const network = networkCode(error);
  const describe = describePlace(place);
  const fail = (code: BackupError['code'], message: string, hint: string) =>
    new BackupError(code, message, { hint, cause: error });

  if (name === 'AbortError') return aborted(error);
  if (name === 'CredentialsProviderError') {
    return fail(
      'BAD_CONFIG',
      'no credentials for S3 were found',
      'Set S3_ACCESS_KEY and S3_SECRET_KEY, or run where the AWS default credentials exist.',
    );
  }
  if (name === 'NoSuchBucket' || name === 'InvalidBucketName') return noBucket(place, error);
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed') {
    return fail(
      'S3_NO_BUCKET',
      `bucket "${place.bucket}" is not in ${place.region}`,
      'Set S3_REGION (AWS_REGION is not read), and S3_ENDPOINT if there is one, to where the bucket was made.',
    );
  }
  if (clockNames.has(name)) {
    return fail(
      'S3_CLOCK',
      `the clocks of this machine and of ${place.host} differ by more than 15 minutes`,
      'Set the clock of this machine, best by NTP (`timedatectl set-ntp true`).',
    );
  }
  if (mismatchNames.has(name)) {
    return fail(
      'S3_MISMATCH',
      `${place.host} received other bytes than were sent${of(key)}`,
      'Something on the way changed them and nothing was stored; it is tried again.',
    );
  }
  if (status === undefined && error instanceof Error && /^checksum mismatch/i.test(error.message)) {
    return fail(
      'S3_MISMATCH',
      `what ${place.host} sent${of(key)} is not what was stored`,
      'Start the download again; if it stays so, the object is damaged.',
    );
  }
  if (archiveNames.has(name)) return archived(error, place, key);
  if (quotaNames.test(name) || status === 507) {
    return fail(
      'S3_FAILED',
      `${describe} is full (${name})`,
      'Raise the quota there or lower the retention; local backups go on.',
    );
  }
  if (capNames.test(name)) {
    return fail(
      'S3_FAILED',
      `a cap of the account for ${describe} is reached (${status} ${name})`,
      'Raise it at the provider, or wait until it is counted anew, at most of them each day; local backups go on and uploads wait.',
    );
  }
  if (accountNames.test(name) || status === 402) {
    return fail(
      'S3_DENIED',
      `the account or user for ${describe} is blocked (${status} ${name})`,
      'The key and its rights are not at fault: ask who runs the server, or see to the bill; local backups go on.',
    );
  }
  if (tokenNames.has(name)) {
    return fail(
      'S3_DENIED',
      `the temporary credentials for ${describe} are no longer good (${status} ${name})`,
      'Set new ones: S3_ACCESS_KEY, S3_SECRET_KEY and S3_SESSION_TOKEN together, or log in anew where the AWS default credentials come from.',
    );
  }
  if (/^KMS\b/.test(name)) {
    return fail(
      'S3_FAILED',
      `the key by which the server encrypts ${describe} can't be used (${status} ${name})`,
      'It may be disabled, or be deleted soon: see to it at the provider. What it encrypts can not be read without it.',
    );
  }
  if (status === 401 || status === 403) {
    return fail('S3_DENIED', `S3 refused the key for ${describe} (${status} ${name})`, deniedHint(name, place));
  }
  if (key !== undefined && (name === 'NoSuchKey' || name === 'NotFound')) return notThere(key, describe, error);
  if (status === 412) {
    return fail(
      'S3_MISMATCH',
      `the object "${key ?? ''}" in ${describe} was replaced while it was read`,
      'Start the download again.',
    );
  }
  if (status === 501 || status === 405) {
    return fail(
      'UNSUPPORTED',
      `${place.host} cannot do that (${status} ${name})`,
      'This S3 server lacks an operation that backups need; another server, or a newer version of it, has it.',
    );
  }
  if (network !== undefined && tlsCodes.test(network)) {
    return fail(
      'S3_UNREACHABLE',
      `the certificate of ${place.host} is not trusted (${network})`,
      'For a certificate authority of your own set NODE_EXTRA_CA_CERTS to its file.',
    );
  }
  if (network !== undefined && speechCodes.test(network)) {
    return fail(
      'S3_UNREACHABLE',
      `${place.host} does not speak TLS (${network})`,
      'Begin S3_ENDPOINT with http:// if this server has no TLS.',
    );
  }
  if (network === 'ENOTFOUND') {
    return fail(
      'S3_UNREACHABLE',
      `there is no host ${place.host}`,
      'Check S3_ENDPOINT and S3_REGION, and that this machine can resolve names.',
    );
  }
  if (network !== undefined || name === 'TimeoutError') {
    return fail(
      'S3_UNREACHABLE',
      `${place.host} does not answer (${network ?? name}${tries(attempts)})`,
      'Check S3_ENDPOINT and the network; local backups go on and uploads wait.',
    );
  }
  if (status !== undefined && status < 300) return notS3(place, error);
  if (status !== undefined) {
    return fail(
      'S3_FAILED',
      `${place.host} answered ${status} ${name}${of(key)}${tries(attempts)}`,
      status >= 500 || status === 429
        ? 'That is a fault of the server, most often a passing one; it is tried again.'
        : 'Check S3_BUCKET, S3_REGION, S3_ENDPOINT and the key.',
    );
  }
  return fail(
    'S3_FAILED',
    `the exchange with ${place.host} failed (${name})${of(key)}`,
    'The log has the cause; it is tried again.',
  );
}

/** The error knows the class at Amazon; elsewhere nobody says. */
function archived(error: unknown, place: S3Place, key: string | undefined): BackupError {
  const { bucket, host, prefix } = place;
  const given = typeof error === 'object' && error !== null && 'StorageClass' in error ? error.StorageClass : null;
  const storageClass = typeof given === 'string' && given !== '' ? given : null;
  const object = `${prefix === '' ? '' : `${prefix}/`}${key ?? ''}`;
  const which = storageClass === null ? 'an archive class' : `the archive class ${storageClass}`;
  return new BackupError('S3_ARCHIVED', `"${key ?? ''}" in ${describePlace(place)} lies in ${which}`, {
    hint: `It has to be brought back first, which takes ${hoursOf(storageClass, host) ?? '3 to 48 hours'}: ask the provider for it, by its console or by \`aws s3api restore-object --bucket ${bucket} --key ${shellWord(object)} --restore-request Days=7\`, and try again then. \`velist-backup list\` shows which backups can be had at once.`,
    cause: error,
  });
}

export function noBucket({ bucket, region, host }: S3Place, cause?: unknown): BackupError {
  return new BackupError('S3_NO_BUCKET', `there is no bucket "${bucket}" in ${region} at ${host}`, {
    hint: 'Check S3_BUCKET, S3_REGION and S3_ENDPOINT.',
    cause,
  });
}

/**
 * An answer of success that S3 would not give. A login page of the network, or a web server under that address, says
 * 200 to everything: without this an upload to it would count as stored.
 */
export function notS3({ host }: S3Place, cause?: unknown): BackupError {
  return new BackupError('S3_FAILED', `${host} does not answer as an S3 server does`, {
    hint: 'Check S3_ENDPOINT: a web page or a proxy seems to answer there.',
    cause,
  });
}

/** What stands for the name of an error that has none. */
export const NAMELESS = 'without a reason';

/** The facts of an SDK error that can be trusted: name, HTTP status, how often it was tried. */
export function factsOf(error: unknown): {
  readonly name: string;
  readonly status?: number;
  readonly attempts: number;
} {
  if (typeof error !== 'object' || error === null) return { name: 'unknown', attempts: 1 };
  const given = 'name' in error && typeof error.name === 'string' ? error.name : 'unknown';
  // The server's own word. It goes into messages, so one that looks like no name is none.
  const name = /^[\w.:-]{1,100}$/.test(given) ? given : 'unknown';
  if (!('$metadata' in error) || typeof error.$metadata !== 'object' || error.$metadata === null)
    return { name, attempts: 1 };
  const { httpStatusCode, attempts } = error.$metadata as { httpStatusCode?: unknown; attempts?: unknown };
  return {
    name: /^\d|^unknown|^error$/i.test(name) ? NAMELESS : name,
    status: typeof httpStatusCode === 'number' ? httpStatusCode : undefined,
    attempts: typeof attempts === 'number' ? attempts : 1,
  };
}

/** True for what a broken connection, not an answer, brought about: the rest of a download may be asked for again. */
export function isBrokenConnection(error: unknown): boolean {
  return networkCode(error) !== undefined || factsOf(error).name === 'TimeoutError';
}

function networkCode(error: unknown): string | undefined {
  const code = errnoCode(error);
  return code !== undefined && (networkCodes.has(code) || tlsCodes.test(code) || speechCodes.test(code))
    ? code
    : undefined;
}

function deniedHint(name: string, { prefix }: S3Place): string {
  if (name === 'InvalidAccessKeyId') return 'The server does not know this key: check S3_ACCESS_KEY.';
  if (name === 'SecondLevelDomainForbidden')
    return 'This server wants the bucket in its host name: set S3_FORCE_PATH_STYLE=false.';
  if (name === 'SignatureDoesNotMatch') return 'The secret does not belong to this key: check S3_SECRET_KEY.';
  return `The key needs PutObject, GetObject, ListBucket and DeleteObject on "${prefix === '' ? '*' : `${prefix}/*`}"; check S3_ACCESS_KEY and S3_SECRET_KEY.`;
}

const of = (key: string | undefined): string => (key === undefined ? '' : ` for "${key}"`);
const tries = (attempts: number): string => (attempts > 1 ? `, ${attempts} tries` : '');

const clockNames: ReadonlySet<string> = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture']);
const mismatchNames: ReadonlySet<string> = new Set([
  'XAmzContentSHA256Mismatch',
  'BadDigest',
  'InvalidDigest',
  'XAmzContentChecksumMismatch',
]);
const archiveNames: ReadonlySet<string> = new Set(['InvalidObjectState', 'ObjectNotInActiveTierError']);
/** Each server has its own. */
const quotaNames = /Quota\w*Exceed|Exceed\w*Quota|StorageFull|Storage(Cap|Limit)Exceeded|InsufficientCapacity/i;
const capNames = /CapExceeded|(Bandwidth|Request|Transaction|Download)\w*LimitExceeded/i;
const accountNames =
  /Account(Problem|Disabled|Suspended|Closed)|AllAccessDisabled|NotSignedUp|User(Suspended|Disabled?)$|InvalidPayer|Billing|PaymentRequired|Arrear/i;
/** Temporary credentials that have run out; Amazon answers 400. */
const tokenNames: ReadonlySet<string> = new Set(['ExpiredToken', 'InvalidToken', 'TokenRefreshRequired']);
const tlsCodes = /CERT|^ERR_TLS|^UNABLE_TO/;
const speechCodes = /^EPROTO$|^ERR_SSL/;
const networkCodes: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
]);
