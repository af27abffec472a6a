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

interface Fault {
  readonly name: string;
  readonly status: number | undefined;
  readonly attempts: number;
  /** The code of the network's error. */
  readonly network: string | undefined;
  readonly error: unknown;
  readonly place: S3Place;
  /** The object concerned. */
  readonly key: string | undefined;
}

interface Meaning {
  is(fault: Fault): boolean;
  /** Code, message and hint; or the whole error. */
  says(fault: Fault): readonly [code: BackupError['code'], message: string, hint: string] | BackupError;
}

/** Any error of the SDK as a `BackupError`. `key` is the object concerned, if one is. */
export function s3Error(error: unknown, place: S3Place, key?: string): BackupError {
  if (error instanceof BackupError) return error;
  if (error instanceof AnswerRefused) return error.told;
  const { name, status, attempts } = factsOf(error);
  const fault: Fault = { name, status, attempts, network: networkCode(error), error, place, key };
  const said = meanings.find(({ is }) => is(fault))?.says(fault) ?? without(fault);
  if (said instanceof BackupError) return said;
  const [code, message, hint] = said;
  return new BackupError(code, message, { hint, cause: error });
}

/** The first that fits; what a server says by a name goes before what it says by a status. */
const meanings: readonly Meaning[] = [
  { is: ({ name }) => name === 'AbortError', says: ({ error }) => aborted(error) },
  {
    is: ({ name }) => name === 'CredentialsProviderError',
    says: () => [
      'BAD_CONFIG',
      'no credentials for S3 were found',
      'Set S3_ACCESS_KEY and S3_SECRET_KEY, or run where the AWS default credentials exist.',
    ],
  },
  {
    is: ({ name }) => name === 'NoSuchBucket' || name === 'InvalidBucketName',
    says: ({ place, error }) => noBucket(place, error),
  },
  {
    is: ({ name, status }) => status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed',
    says: ({ place }) => [
      'S3_NO_BUCKET',
      `bucket "${place.bucket}" is not in ${place.region}`,
      'Set S3_REGION (AWS_REGION is not read), and S3_ENDPOINT if there is one, to where the bucket was created.',
    ],
  },
  {
    is: ({ name }) => clockNames.has(name),
    says: ({ place }) => [
      'S3_CLOCK',
      `the clocks of this machine and of ${place.host} differ by more than 15 minutes`,
      'Set the clock of this machine, ideally with NTP (`timedatectl set-ntp true`).',
    ],
  },
  {
    is: ({ name }) => mismatchNames.has(name),
    says: ({ place, key }) => [
      'S3_MISMATCH',
      `${place.host} received bytes that differ from those sent${of(key)}`,
      'Something on the way changed them and nothing was stored; it is retried.',
    ],
  },
  {
    is: ({ status, error }) =>
      status === undefined && error instanceof Error && /^checksum mismatch/i.test(error.message),
    says: ({ place, key }) => [
      'S3_MISMATCH',
      `what ${place.host} sent${of(key)} is not what was stored`,
      'Start the download again; if that happens again, the object is damaged.',
    ],
  },
  { is: ({ name }) => archiveNames.has(name), says: ({ error, place, key }) => archived(error, place, key) },
  {
    is: ({ name, status }) => quotaNames.test(name) || status === 507,
    says: ({ name, place }) => [
      'S3_FAILED',
      `${describePlace(place)} is full (${name})`,
      'Raise the quota there or lower the retention; local backups continue.',
    ],
  },
  {
    is: ({ name }) => capNames.test(name),
    says: ({ name, status, place }) => [
      'S3_FAILED',
      `a limit of the account for ${describePlace(place)} is reached (${status} ${name})`,
      'Raise it at the provider, or wait until it is reset, which most of them do daily; local backups continue and uploads wait.',
    ],
  },
  {
    is: ({ name, status }) => accountNames.test(name) || status === 402,
    says: ({ name, status, place }) => [
      'S3_DENIED',
      `the account or user for ${describePlace(place)} is blocked (${status} ${name})`,
      'The key and its rights are not at fault: ask whoever runs the server, or check the bill; local backups continue.',
    ],
  },
  {
    is: ({ name }) => tokenNames.has(name),
    says: ({ name, status, place }) => [
      'S3_DENIED',
      `the temporary credentials for ${describePlace(place)} are no longer valid (${status} ${name})`,
      'Set new ones: S3_ACCESS_KEY, S3_SECRET_KEY and S3_SESSION_TOKEN together, or log in again where the AWS default credentials come from.',
    ],
  },
  {
    is: ({ name }) => /^KMS\b/.test(name),
    says: ({ name, status, place }) => [
      'S3_FAILED',
      `the key with which the server encrypts ${describePlace(place)} can't be used (${status} ${name})`,
      'It may be disabled, or about to be deleted: check it at the provider. What it encrypts cannot be read without it.',
    ],
  },
  {
    is: ({ status }) => status === 401 || status === 403,
    says: ({ name, status, place }) => [
      'S3_DENIED',
      `S3 refused the key for ${describePlace(place)} (${status} ${name})`,
      deniedHint(name, place),
    ],
  },
  {
    is: ({ name, key }) => key !== undefined && (name === 'NoSuchKey' || name === 'NotFound'),
    says: ({ key = '', place, error }) => notThere(key, describePlace(place), error),
  },
  {
    is: ({ status }) => status === 412,
    says: ({ key = '', place }) => [
      'S3_MISMATCH',
      `the object "${key}" in ${describePlace(place)} was replaced while it was read`,
      'Start the download again.',
    ],
  },
  {
    is: ({ status }) => status === 501 || status === 405,
    says: ({ name, status, place }) => [
      'UNSUPPORTED',
      `${place.host} cannot do that (${status} ${name})`,
      'This S3 server lacks an operation that backups need; another server, or a newer version of it, has it.',
    ],
  },
  {
    is: ({ network }) => network !== undefined && tlsCodes.test(network),
    says: ({ network, place }) => [
      'S3_UNREACHABLE',
      `the certificate of ${place.host} is not trusted (${network})`,
      'For a certificate authority of your own, set NODE_EXTRA_CA_CERTS to its file.',
    ],
  },
  {
    is: ({ network }) => network !== undefined && speechCodes.test(network),
    says: ({ network, place }) => [
      'S3_UNREACHABLE',
      `${place.host} does not speak TLS (${network})`,
      'Begin S3_ENDPOINT with http:// if this server has no TLS.',
    ],
  },
  {
    is: ({ network }) => network === 'ENOTFOUND',
    says: ({ place }) => [
      'S3_UNREACHABLE',
      `there is no host ${place.host}`,
      'Check S3_ENDPOINT and S3_REGION, and that this machine can resolve names.',
    ],
  },
  {
    is: ({ name, network }) => network !== undefined || name === 'TimeoutError',
    says: ({ name, network, place, attempts }) => [
      'S3_UNREACHABLE',
      `${place.host} does not answer (${network ?? name}${tries(attempts)})`,
      'Check S3_ENDPOINT and the network; local backups continue and uploads wait.',
    ],
  },
  { is: ({ status }) => status !== undefined && status < 300, says: ({ place, error }) => notS3(place, error) },
  {
    is: ({ status }) => status !== undefined && (status >= 500 || status === 429),
    says: (fault) => [
      'S3_FAILED',
      answered(fault),
      'That is a fault of the server, usually a temporary one; it is retried.',
    ],
  },
  {
    is: ({ status }) => status !== undefined,
    says: (fault) => ['S3_FAILED', answered(fault), 'Check S3_BUCKET, S3_REGION, S3_ENDPOINT and the key.'],
  },
];

function without({ name, place, key }: Fault): ReturnType<Meaning['says']> {
  return [
    'S3_FAILED',
    `the exchange with ${place.host} failed (${name})${of(key)}`,
    'The log has the cause; it is retried.',
  ];
}

function answered({ name, status, attempts, place, key }: Fault): string {
  return `${place.host} answered ${status} ${name}${of(key)}${tries(attempts)}`;
}

/** The error knows the class at Amazon; elsewhere nobody says. */
function archived(error: unknown, place: S3Place, key: string | undefined): BackupError {
  const { bucket, host, prefix } = place;
  const given = typeof error === 'object' && error !== null && 'StorageClass' in error ? error.StorageClass : null;
  const storageClass = typeof given === 'string' && given !== '' ? given : null;
  const object = `${prefix === '' ? '' : `${prefix}/`}${key ?? ''}`;
  const which = storageClass === null ? 'an archive class' : `the archive class ${storageClass}`;
  return new BackupError('S3_ARCHIVED', `"${key ?? ''}" in ${describePlace(place)} is in ${which}`, {
    hint: `It has to be brought back first, which takes ${hoursOf(storageClass, host) ?? '3 to 48 hours'}: request it from the provider, in its console or with \`aws s3api restore-object --bucket ${bucket} --key ${shellWord(object)} --restore-request Days=7\`, then try again. \`velist-backup list\` shows which backups can be read at once.`,
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
    return 'This server needs the bucket in its host name: set S3_FORCE_PATH_STYLE=false.';
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
