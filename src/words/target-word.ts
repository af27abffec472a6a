/** How sentences call a target: `S3`, or the name that its owner gave it. */
export function targetWord(target: string): string {
  return target === 's3' ? 'S3' : target;
}
