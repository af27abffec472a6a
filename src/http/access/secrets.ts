/** Secrets in forms that can be compared in constant time, and that no answer could show. */
import { createHash, scrypt, timingSafeEqual } from 'node:crypto';

/** The usual cost of an interactive sign-in: about 50 ms and 16 MB. */
const scryptCost = { N: 16_384, r: 8, p: 1 };

export function isSame(given: string, wantedDigest: Buffer): boolean {
  return timingSafeEqual(digest(given), wantedDigest);
}

export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export function stretch(password: string, salt: Buffer | string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, 32, scryptCost, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
