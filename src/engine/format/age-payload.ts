/**
 * The payload of an age file (https://age-encryption.org/v1, "Payload"): 64 KiB chunks in ChaCha20-Poly1305, each with its
 * number and a mark on the last one as its nonce, under a key derived from the file's key and 16 random bytes.
 *
 * The library of the format does the header. It would do this too, in JavaScript, at a sixth of the speed: the cipher here
 * is the runtime's own, `node:crypto` on Node and WebCrypto on Bun, whose `node:crypto` does not have it.
 */
import { createCipheriv, createDecipheriv, getCiphers, hkdfSync } from 'node:crypto';

export const NONCE_BYTES = 16;
export const CHUNK_BYTES = 64 * 1024;
export const TAG_BYTES = 16;

const CIPHER = 'chacha20-poly1305';

type Bytes = AsyncIterable<Uint8Array>;

/** What is yielded is the caller's; what comes from `source` may use its memory again. */
export async function* sealPayload(source: Bytes, fileKey: Uint8Array, nonce: Uint8Array): Bytes {
  const cipher = await cipherFor(payloadKey(fileKey, nonce));
  for await (const { bytes, number, isLast } of chunksOf(source, CHUNK_BYTES))
    yield await cipher.seal(bytes, chunkNonce(number, isLast));
}

/**
 * @param onFault Makes the error for a chunk that was changed, a payload that was cut, or something behind its end. An error
 * of the source passes through unchanged.
 */
export async function* openPayload(
  source: Bytes,
  fileKey: Uint8Array,
  nonce: Uint8Array,
  onFault: (cause: unknown) => Error,
): Bytes {
  const cipher = await cipherFor(payloadKey(fileKey, nonce));
  for await (const { bytes, number, isLast } of chunksOf(source, CHUNK_BYTES + TAG_BYTES)) {
    // Only an empty file has an empty chunk; elsewhere one would hide that the file was cut.
    if (isLast && number > 0 && bytes.length <= TAG_BYTES) throw onFault(new Error('the last chunk is empty'));
    yield await cipher.open(bytes, chunkNonce(number, isLast)).catch((cause: unknown) => {
      throw onFault(cause);
    });
  }
}

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** 11 bytes count, big-endian; the twelfth marks the last chunk. */
function chunkNonce(number: number, isLast: boolean): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(3, BigInt(number));
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly number: number;
  readonly isLast: boolean;
}

/** All full but the last, which may be empty if it is the only one. `bytes` is used again for the next chunk. */
async function* chunksOf(source: Bytes, size: number): AsyncGenerator<Chunk> {
  const held = new Uint8Array(size);
  let used = 0;
  let number = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      if (used === size) {
        yield { bytes: held, number: number++, isLast: false };
        used = 0;
      }
      const part = piece.subarray(at, at + size - used);
      held.set(part, used);
      used += part.length;
      at += part.length;
    }
  }
  yield { bytes: held.subarray(0, used), number, isLast: true };
}

interface Cipher {
  readonly seal: (plain: Uint8Array, nonce: Uint8Array) => Promise<Uint8Array>;
  readonly open: (sealed: Uint8Array, nonce: Uint8Array) => Promise<Uint8Array>;
}

async function cipherFor(key: Uint8Array): Promise<Cipher> {
  return getCiphers().includes(CIPHER) ? nodeCipher(key) : await webCipher(key);
}

function nodeCipher(key: Uint8Array): Cipher {
  const options = { authTagLength: TAG_BYTES };
  return {
    async seal(plain, nonce) {
      const cipher = createCipheriv(CIPHER, key, nonce, options);
      return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    async open(sealed, nonce) {
      const decipher = createDecipheriv(CIPHER, key, nonce, options);
      const tagAt = Math.max(0, sealed.length - TAG_BYTES);
      decipher.setAuthTag(sealed.subarray(tagAt));
      return Buffer.concat([decipher.update(sealed.subarray(0, tagAt)), decipher.final()]);
    },
  };
}

async function webCipher(key: Uint8Array): Promise<Cipher> {
  const name = 'ChaCha20-Poly1305';
  // The types do not know this form yet.
  const imported = await crypto.subtle.importKey('raw-secret' as 'raw', key as BufferSource, { name }, false, [
    'encrypt',
    'decrypt',
  ]);
  return {
    seal: async (plain, iv) =>
      new Uint8Array(await crypto.subtle.encrypt({ name, iv } as AesGcmParams, imported, plain as BufferSource)),
    open: async (sealed, iv) =>
      new Uint8Array(await crypto.subtle.decrypt({ name, iv } as AesGcmParams, imported, sealed as BufferSource)),
  };
}
