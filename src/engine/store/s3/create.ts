/** Writes a small object only if there is none yet. */
import { getBytes } from '../store.ts';
import type { PutIfAbsentOptions } from '../store.ts';
import { throughConflicts } from './conflicts.ts';
import { downloadFromS3 } from './download.ts';
import { factsOf, notS3, s3Error } from './errors.ts';
import type { Prefix } from './prefix.ts';
import { requestFor } from './stored-as.ts';

export async function createOnS3(
  below: Prefix,
  key: string,
  bytes: Uint8Array,
  { contentType, signal }: PutIfAbsentOptions,
): Promise<boolean> {
  const { connection, place } = below;
  // A lock would outlive what the object is for.
  const { ServerSideEncryption, SSEKMSKeyId } = requestFor(connection.storedAs, { now: new Date() });
  const object = {
    ...{ ...below.object(key), Body: Buffer.from(bytes), ContentType: contentType, IfNoneMatch: '*' },
    ...{ ServerSideEncryption, SSEKMSKeyId },
  };
  const options = { signal, uploadBytes: bytes.length, rawErrors: true };
  const send = async (isAgain: boolean): Promise<boolean> => {
    try {
      const stored = await below.send(
        (client, sdk, http) => client.send(new sdk.PutObjectCommand(object), http),
        options,
      );
      if (!stored.ETag) throw notS3(place);
      return true;
    } catch (error) {
      const { status, attempts } = factsOf(error);
      if (status !== 412) throw error;
      // A repeated try meets what the first one stored when only its answer was lost.
      return attempts > 1 || isAgain ? await holds(below, key, bytes, signal) : false;
    }
  };
  try {
    return await throughConflicts(send, signal);
  } catch (error) {
    throw s3Error(error, place);
  }
}

async function holds(below: Prefix, key: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
  const get = () => downloadFromS3(below.connection, key, below.remote(key), { from: 0, to: bytes.length, signal });
  // One byte more than ours, so that a longer object is not taken for it.
  const stored = await getBytes({ get }, key, { limitBytes: bytes.length + 1 });
  return Buffer.compare(stored, bytes) === 0;
}
