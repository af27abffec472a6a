/**
 * One connection to one bucket: the settings of the SDK's client, and `send`, which turns every failure into a
 * `BackupError`. The SDK (about 70 ms and 30 MB) is loaded with the first request, so an engine without S3 never pays
 * for it.
 *
 * The SDK's defaults wait for ever on a server that does not answer and give up after half a second on one that is
 * overloaded, so both are set here. Retries, with growing and jittered delays, are the SDK's own.
 */
import type * as Sdk from '@aws-sdk/client-s3';
import { BackupError } from '../../../words/errors.ts';
import { readAnswer } from './body.ts';
import { type S3Place, s3Error } from './errors.ts';
import { refusedWish, type StoredAs } from './stored-as.ts';

export interface S3Options extends StoredAs {
  readonly bucket: string;
  /** `us-east-1` when left out, which most servers that are not Amazon's take. */
  readonly region?: string | null;
  /** The address of a server that is not Amazon's: `https://s3.example.com`; `https://` may be left out. */
  readonly endpoint?: string | null;
  /** Both or neither; with neither the SDK looks where it always does (variables, profile, instance role). */
  readonly accessKeyId?: string | null;
  readonly secretAccessKey?: string | null;
  /** The third part of temporary credentials, beside both keys. */
  readonly sessionToken?: string | null;
  /** All keys lie below it, without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** `host/bucket/key` instead of `bucket.host/key`. Left out: yes, except at Amazon's. */
  readonly forcePathStyle?: boolean | null;
  /** How often a request is tried; 6, which takes about 20 s on a server that answers 503. */
  readonly maxAttempts?: number;
  /** 10 s. */
  readonly connectTimeoutMs?: number;
  /** How long an answer may take and a transfer may stand still; 60 s. An upload gets more by its size. */
  readonly requestTimeoutMs?: number;
}

export interface S3Connection {
  readonly place: S3Place;
  readonly storedAs: StoredAs;
  /** Begins every address of an object: `https://host/bucket` or `https://bucket.host`. */
  readonly baseUrl: string;
  sdk(): Promise<typeof Sdk>;
  /** `S3ClientConfig` for a second client with the same credentials. */
  readonly config: Sdk.S3ClientConfig;
  /** How long a transfer may stand still, or drip. */
  readonly requestTimeoutMs: number;
  send<Output>(
    request: (client: Sdk.S3Client, sdk: typeof Sdk, http: HttpOptions) => Promise<Output>,
    options?: SendOptions,
  ): Promise<Output>;
  close(): void;
}

export interface HttpOptions {
  readonly abortSignal?: AbortSignal;
  readonly requestTimeout?: number;
}

export interface SendOptions {
  readonly key?: string;
  readonly signal?: AbortSignal;
  readonly uploadBytes?: number;
  /** The request asks for `storedAs`, and may be refused for it. */
  readonly asksForStoredAs?: boolean;
  /** Sees the SDK's own error first; what it returns is the outcome, what it throws the failure. */
  readonly rawErrors?: boolean;
}

const REQUEST_TIMEOUT_MS = 60_000;
/** An upload slower than this (half a megabit a second) counts as stalled. */
const slowestUploadBytesPerSecond = 64 * 1024;

export function connectS3(options: S3Options): S3Connection {
  const { place, baseUrl, config } = settle(options);
  const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
  let loaded: Promise<typeof Sdk> | null = null;
  let client: Sdk.S3Client | null = null;
  const sdk = () => (loaded ??= import('@aws-sdk/client-s3'));

  return {
    ...{ place, storedAs: options, baseUrl, config, requestTimeoutMs, sdk },

    async send(request, { key, signal, uploadBytes, asksForStoredAs, rawErrors } = {}) {
      try {
        const module = await sdk();
        client ??= new module.S3Client(config);
        const requestTimeout =
          uploadBytes === undefined
            ? undefined
            : requestTimeoutMs + Math.ceil((uploadBytes / slowestUploadBytesPerSecond) * 1000);
        return await request(client, module, { abortSignal: signal, requestTimeout });
      } catch (error) {
        if (rawErrors && !signal?.aborted) throw error;
        throw (asksForStoredAs && refusedWish(error, options, place)) || s3Error(error, place, key);
      }
    },

    close() {
      client?.destroy();
      client = null;
    },
  };
}

/** @throws BackupError BAD_CONFIG */
function settle(options: S3Options): Pick<S3Connection, 'place' | 'baseUrl' | 'config'> {
  const { bucket, accessKeyId, secretAccessKey, sessionToken } = options;
  const { maxAttempts = 6, connectTimeoutMs = 10_000, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
  const region = options.region || 'us-east-1';
  const endpoint = options.endpoint ? parseEndpoint(options.endpoint) : null;
  if (!bucket) throw badConfig('no bucket is named', 'Set S3_BUCKET.');
  if (!accessKeyId !== !secretAccessKey) {
    throw badConfig(
      'only one half of the S3 credentials is set',
      'Set both S3_ACCESS_KEY and S3_SECRET_KEY, or neither.',
    );
  }
  const amazon = endpoint === null || endpoint.hostname.endsWith('.amazonaws.com');
  const forcePathStyle = options.forcePathStyle ?? !amazon;
  const host = endpoint?.host ?? `s3.${region}.amazonaws.com`;
  const origin = endpoint?.origin ?? `https://${host}`;
  const config: Sdk.S3ClientConfig = {
    ...{ region, endpoint: endpoint?.origin, forcePathStyle, maxAttempts },
    credentials:
      accessKeyId && secretAccessKey
        ? { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) }
        : undefined,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // Without this a late answer is only logged.
      throwOnRequestTimeout: true,
      // requestTimeout ends with the first byte of the answer; this one covers a body that stands still.
      socketTimeout: requestTimeoutMs,
    },
    // On a server the SDK's body is a Node stream; its type also names what browsers get.
    streamCollector: (body) => readAnswer(body as AsyncIterable<Uint8Array>, { windowMs: requestTimeoutMs, host }),
  };
  return {
    place: { bucket, region, host, prefix: options.prefix.replace(/^\/+|\/+$/g, '') },
    baseUrl: forcePathStyle ? `${origin}/${bucket}` : origin.replace('://', `://${bucket}.`),
    config,
  };
}

function parseEndpoint(text: string): URL {
  const address = /^https?:\/\//i.test(text) ? text : `https://${text}`;
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || url.pathname !== '/' || url.username !== '' || url.password !== '' || url.search !== '') {
    throw badConfig(
      'S3_ENDPOINT is not the address of a server',
      'Give host and port only, such as https://s3.example.com; the bucket goes into S3_BUCKET.',
    );
  }
  return url;
}

function badConfig(message: string, hint: string): BackupError {
  return new BackupError('BAD_CONFIG', message, { hint });
}

/** A key below the prefix, as the server knows it. */
export function remoteKey({ place }: S3Connection, key: string): string {
  return place.prefix === '' ? key : `${place.prefix}/${key}`;
}
