/** `local` is the folder, `s3` the bucket of the environment; a further target has the name that its owner gave it. */
export type TargetName = string;

/** How sentences call a target: `S3`, or the name that its owner gave it. */
export function targetWord(target: TargetName): string {
  return target === 's3' ? 'S3' : target;
}
