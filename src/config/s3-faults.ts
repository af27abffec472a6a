/** What is wrong with one S3 setting by itself, and what to write instead. */

/** Null for the name of a bucket, or of an access point; else what to write instead. */
export function faultOfBucket(name: string): string | null {
  if (/^arn:aws[\w-]*:s3/i.test(name) && /accesspoint/i.test(name)) return null;
  const [, bucket, prefix = ''] = /^(?:s3:\/\/|arn:aws[\w-]*:s3:::)([^/]+)\/?(.*)$/i.exec(name) ?? [];
  if (bucket !== undefined) {
    const path = prefix.replace(/\/+$/, '');
    return `the name alone: S3_BUCKET=${bucket}${path === '' ? '' : `, and BACKUP_S3_PATH=${path} for the rest`}`;
  }
  if (/^https?:\/\//i.test(name))
    return 'the name of the bucket alone; the address of its server belongs in S3_ENDPOINT';
  if (name.includes('/')) return 'the name of the bucket alone; the rest belongs in BACKUP_S3_PATH';
  return /[\s:]/.test(name) ? 'the name of the bucket alone' : null;
}

/** Null for the address of a server. */
export function faultOfEndpoint(url: string): string | null {
  const { pathname, search } = new URL(url);
  if (pathname === '/' && search === '') return null;
  return 'host and port only, such as https://s3.wasabisys.com; the bucket belongs in S3_BUCKET';
}
