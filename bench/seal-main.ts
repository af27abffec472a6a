/** Reads a file, encrypts it in age's format and drops what comes out. Arguments: the file, `ours` or `library`. Prints milliseconds. */
import { Encrypter, generateIdentity, identityToRecipient } from 'age-encryption';
import { createReadStream, openAsBlob } from 'node:fs';
import { seal } from '../src/engine/format/seal.ts';

const [file = '', who = 'ours'] = process.argv.slice(2);
const recipient = await identityToRecipient(await generateIdentity());
const sources = {
  ours: async () =>
    seal(createReadStream(file, { highWaterMark: 1024 * 1024 }), { compression: 'none', recipients: [recipient] }),
  library: async () => {
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    return await encrypter.encrypt((await openAsBlob(file)).stream());
  },
};
const startedMs = performance.now();
let bytes = 0;
for await (const piece of await sources[who === 'library' ? 'library' : 'ours']()) bytes += piece.length;
if (bytes === 0) throw new Error('nothing came out');
console.log(performance.now() - startedMs);
