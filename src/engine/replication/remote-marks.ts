/** The marks that were shipped beside the stream of a target. */
import { BackupError, says } from '../../words/errors.ts';
import { decrypt } from '../format/age.ts';
import { getBytes, isNotThere, type ObjectStore } from '../store/store.ts';
import { type Mark, parseMarks } from './marks.ts';
import { marksKey } from './stream-keys.ts';

const MARKS_BYTES_MAX = 16 * 1024 * 1024;

interface MarksOptions {
  readonly signal: AbortSignal;
  /** Where they are sealed; without one there are none to be seen. */
  readonly identities: readonly string[];
}

/** None where they are not there, or can't be read: a mark helps to find a moment, and hinders no restore. */
export async function readRemoteMarks(
  store: ObjectStore,
  { signal, identities }: MarksOptions,
): Promise<readonly Mark[]> {
  const asked = { limitBytes: MARKS_BYTES_MAX, signal };
  for (const isSealed of identities.length > 0 ? [false, true] : [false]) {
    try {
      const bytes = await getBytes(store, marksKey({ isSealed }), asked);
      return parseMarks(new TextDecoder().decode(isSealed ? await opened(bytes, identities) : bytes));
    } catch (error) {
      if (signal.aborted) throw error;
      const isTarget = error instanceof BackupError && says(error.code, 'whole-target');
      if (isTarget && !isNotThere(error)) throw error;
    }
  }
  return [];
}

async function opened(bytes: Uint8Array, identities: readonly string[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of decrypt(once(bytes), identities)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
