/**
 * What is wrong with the S3 settings as a whole. Other tools call the same things by other names (`AWS_BUCKET`,
 * `S3_ACCESS_KEY_ID`); where ours are missing and theirs are there, the line says which one is not read.
 */
import type { Variables } from './env.ts';

interface S3Values {
  readonly BACKUP_S3_ENABLED: boolean;
  readonly S3_BUCKET?: string | undefined;
  readonly S3_ENDPOINT?: string | undefined;
  readonly S3_ACCESS_KEY?: string | undefined;
  readonly S3_SECRET_KEY?: string | undefined;
  readonly S3_SESSION_TOKEN?: string | undefined;
}

const namesElsewhere = {
  S3_BUCKET: ['AWS_BUCKET', 'AWS_S3_BUCKET', 'AWS_BUCKET_NAME', 'AWS_S3_BUCKET_NAME', 'S3_BUCKET_NAME'],
  S3_ENDPOINT: ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL', 'AWS_S3_ENDPOINT', 'AWS_ENDPOINT'],
  S3_ACCESS_KEY: ['AWS_ACCESS_KEY_ID', 'S3_ACCESS_KEY_ID'],
  S3_SECRET_KEY: ['AWS_SECRET_ACCESS_KEY', 'S3_SECRET_ACCESS_KEY'],
} as const;

export function faultsOfS3(values: S3Values, given: Variables): readonly string[] {
  const { BACKUP_S3_ENABLED, S3_BUCKET, S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY, S3_SESSION_TOKEN } = values;
  const faults: string[] = [];
  const elsewhere = (name: keyof typeof namesElsewhere) => namesElsewhere[name].find((other) => given[other]);
  const notRead = (name: keyof typeof namesElsewhere) => {
    const other = elsewhere(name);
    return other === undefined ? '' : ` (${other} is not read)`;
  };

  if (BACKUP_S3_ENABLED && !S3_BUCKET)
    faults.push(`S3_BUCKET: is missing; BACKUP_S3_ENABLED=true needs the name of a bucket${notRead('S3_BUCKET')}`);
  const server = elsewhere('S3_ENDPOINT');
  // The library of Amazon would follow it, and send the backups to a server that no message names.
  if (BACKUP_S3_ENABLED && S3_BUCKET && !S3_ENDPOINT && server)
    faults.push(
      `S3_ENDPOINT: is missing, and ${server} names a server; set S3_ENDPOINT to the server that has the bucket (Amazon's is https://s3.<region>.amazonaws.com)`,
    );
  const missing = ([S3_ACCESS_KEY, S3_SECRET_KEY] as const).filter((key) => !key).length;
  const keys = 'S3_ACCESS_KEY, S3_SECRET_KEY';
  if (missing === 1) {
    const other = notRead(S3_ACCESS_KEY ? 'S3_SECRET_KEY' : 'S3_ACCESS_KEY').replace('read', 'read beside the other');
    faults.push(`${keys}: one is missing; set both, or neither to use the AWS default credentials${other}`);
  }
  const halfElsewhere = ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'].filter((name) => given[name]);
  // The default chain reads AWS_… alone.
  if (BACKUP_S3_ENABLED && missing === 2 && halfElsewhere.length > 0 && !given['AWS_ACCESS_KEY_ID'])
    faults.push(
      `${keys}: are missing; ${halfElsewhere.join(' and ')} ${halfElsewhere.length > 1 ? 'are' : 'is'} not read`,
    );
  if (S3_SESSION_TOKEN && missing > 0)
    faults.push('S3_SESSION_TOKEN: does nothing without S3_ACCESS_KEY and S3_SECRET_KEY');
  return faults;
}

/** Null for the name of a bucket, or of an access point; else what to write instead. */
export function faultOfBucket(name: string): string | null {
  if (/^arn:aws[\w-]*:s3/i.test(name) && /accesspoint/i.test(name)) return null;
  const [, bucket, prefix = ''] = /^(?:s3:\/\/|arn:aws[\w-]*:s3:::)([^/]+)\/?(.*)$/i.exec(name) ?? [];
  if (bucket !== undefined) {
    const path = prefix.replace(/\/+$/, '');
    return `the name alone: S3_BUCKET=${bucket}${path === '' ? '' : `, and BACKUP_S3_PATH=${path} for what stands behind it`}`;
  }
  if (/^https?:\/\//i.test(name))
    return 'the name of the bucket alone; the address of its server belongs into S3_ENDPOINT';
  if (name.includes('/')) return 'the name of the bucket alone; what stands behind it belongs into BACKUP_S3_PATH';
  return /[\s:]/.test(name) ? 'the name of the bucket alone' : null;
}

/** Null for the address of a server. */
export function faultOfEndpoint(url: string): string | null {
  const { pathname, search } = new URL(url);
  if (pathname === '/' && search === '') return null;
  return 'host and port only, such as https://s3.wasabisys.com; the bucket belongs into S3_BUCKET';
}
