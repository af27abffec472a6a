/** beets: a music library is one SQLite file. Each write gives a track an attribute; a question left open keeps it open. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordingApp } from './story.ts';
import { untilPrinted, type Workplace } from './work.ts';

const TRACKS = 3;

export async function openBeets(place: Workplace): Promise<RecordingApp> {
  const database = place.path('library.db');
  const music = place.path('music');
  const env = { BEETSDIR: place.folder };
  const beet = (...args: readonly string[]) => place.run('beet', args, { env });
  mkdirSync(music);
  for (let track = 1; track <= TRACKS; track++) writeFileSync(join(music, `${track}.wav`), silence());
  writeFileSync(
    place.path('config.yaml'),
    `library: ${database}\ndirectory: ${music}\nimport:\n  copy: no\n  write: no\n  resume: no\nui:\n  color: no\n`,
  );
  await beet('import', '--quiet', '--noautotag', '--singletons', music);
  await beet('modify', '--yes', '--nowrite', 'artist=Anna');

  return {
    database,
    write: (number) => beet('modify', '--yes', '--nowrite', `turn${number}=yes`, `id:${(number % TRACKS) + 1}`),
    async written(path = database) {
      const fields = await beet('--library', path, 'fields');
      return [...fields.matchAll(/^ *turn(\d+)$/gm)].map(([, number]) => Number(number)).sort((a, b) => a - b);
    },
    async check(path = database) {
      const tracks = await beet('--library', path, 'ls', '--format', '$id $artist $path');
      const expected = [1, 2, 3].map((id) => `${id} Anna ${join(music, `${id}.wav`)}\n`).join('');
      if (tracks.split('\n').sort().join('\n').trim() !== expected.trim()) throw new Error(tracks);
    },
    async hold() {
      const question = place.start('beet', ['modify', '--nowrite', 'artist=Bob'], { env });
      await untilPrinted(question, /Really modify\?/);
      return {
        process: `beet (process ${question.pid})`,
        async release() {
          question.stdin?.end('n\n');
          if (question.exitCode === null) await once(question, 'exit');
        },
      };
    },
    async stop() {},
  };
}

/** A second of it, as a WAV file. */
function silence(): Buffer {
  const rate = 8_000;
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + rate, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20); // PCM
  header.writeUInt16LE(1, 22); // channel
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34); // bits
  header.write('data', 36);
  header.writeUInt32LE(rate, 40);
  return Buffer.concat([header, Buffer.alloc(rate, 0x80)]);
}
