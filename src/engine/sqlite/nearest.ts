/**
 * A question about a path that may not be there yet, or any more: the nearest folder above it that is there answers. The question
 * itself finds out, because a look beforehand may be out of date when it is asked.
 */
import { dirname } from 'node:path';
import { errnoCode } from '../../words/errors.ts';

/** @throws whatever `ask` throws, but for a path that is not there. */
export function askNearest<Answer>(path: string, ask: (path: string) => Answer): Answer {
  try {
    return ask(path);
  } catch (error) {
    const code = errnoCode(error);
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || dirname(path) === path) throw error;
    return askNearest(dirname(path), ask);
  }
}
