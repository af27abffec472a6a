/**
 * The least a key needs for backups, as an IAM document for exactly one bucket and prefix. Amazon takes it as it is;
 * MinIO and Ceph as the policy of a user or a bucket; servers with roles of their own (R2, B2, Hetzner) read it as a
 * list of rights.
 *
 * ListBucket stands under the condition of the prefix, so that the key sees no other names. Amazon applies that
 * condition to the question for a single missing object too; Ceph before 2026 answers it with 403 instead of 404, and
 * there the condition has to go (the self-test says so).
 */
export interface PolicyDocument {
  readonly Version: '2012-10-17';
  readonly Statement: readonly PolicyStatement[];
}

interface PolicyStatement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Action: readonly string[];
  readonly Resource: string;
  readonly Condition?: { readonly StringLike: Readonly<Record<string, readonly string[]>> };
}

interface PolicyScope {
  readonly bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** Whether objects are locked against deletion. */
  readonly locks?: boolean;
  /** The key shall not be able to remove anything; the bucket's rules do. */
  readonly isLeftToBucket?: boolean;
}

export function leastPrivilegePolicy({
  bucket,
  prefix,
  locks = false,
  isLeftToBucket = false,
}: PolicyScope): PolicyDocument {
  const arn = `arn:aws:s3:::${bucket}`;
  const below = prefix === '' ? '*' : `${prefix}/*`;
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'Objects',
        Effect: 'Allow',
        Action: [
          ...['s3:PutObject', 's3:GetObject'],
          ...(isLeftToBucket ? [] : ['s3:DeleteObject']),
          's3:AbortMultipartUpload',
          ...(locks ? ['s3:PutObjectRetention', 's3:GetObjectRetention'] : []),
        ],
        Resource: `${arn}/${below}`,
      },
      {
        Sid: 'Listing',
        Effect: 'Allow',
        Action: ['s3:ListBucket'],
        Resource: arn,
        ...(prefix === '' ? {} : { Condition: { StringLike: { 's3:prefix': [below] } } }),
      },
      // This action knows no condition on the prefix.
      { Sid: 'UnfinishedUploads', Effect: 'Allow', Action: ['s3:ListBucketMultipartUploads'], Resource: arn },
      ...(isLeftToBucket
        ? [{ Sid: 'Rules', Effect: 'Allow', Action: ['s3:GetLifecycleConfiguration'], Resource: arn } as const]
        : []),
    ],
  };
}
