/**
 * The one rule for a prefix on S3: what `BACKUP_S3_PATH`, `s3.path`, the `path` of a target and the page's `s3Path` may be,
 * and which one a database of a list gets. A prefix that resolves otherwise than before leaves the backups of a bucket
 * behind, so `golden.test.ts` holds what every spelling has meant.
 */
import { z } from 'zod';
import { isKey } from '../engine/store/object-key.ts';

export const PREFIX_BY_DEFAULT = 'backups/database';

/** Slashes at the ends are left out; nothing else is repaired. */
export const prefix = ruled(z.string());
/** Typed by a person: blanks around it are slips of the hand. */
export const typedPrefix = ruled(z.string().trim());

function ruled(text: z.ZodString): z.ZodString {
  return text
    .min(1, { abort: true })
    .max(512, { abort: true })
    .refine((path) => !/^(s3|https?):\/\//i.test(path), {
      error: 'a path such as backups/database; the bucket belongs in S3_BUCKET',
      abort: true,
    })
    .overwrite((path) => path.replaceAll(/^\/+|\/+$/g, ''))
    .refine(isKey, { error: 'a path such as backups/database, without empty parts, . or ..' });
}

/** Whether it stands there as the rule would write it. */
export function isPrefix(text: string): boolean {
  return prefix.safeParse(text).data === text;
}

/** The prefix of one database below what all of a list share; an entry that names its own has that very one. */
export function prefixBelow(shared: string, name: string): string {
  return `${shared.replace(/\/+$/, '')}/${name}`;
}
