/**
 * An app that has no descriptor left, or a few: what the service is asked for fails with its reason, the app lives on, no
 * file is moved aside, and as soon as there are descriptors a backup is made.
 */
import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';

const newFolder = scratchFolders();
const program = fileURLToPath(new URL('../support/exhausted-main.ts', import.meta.url));
const DESCRIPTORS = 160;

for (const when of ['before', 'after'] as const) {
  for (const left of [0, 1, 6]) {
    test(`${left} descriptors left ${when} the service began: all that is asked for answers, and the app lives on`, async () => {
      const folder = newFolder();
      makeDatabase(join(folder, 'app.sqlite'));
      const command = `ulimit -n ${DESCRIPTORS}; exec "$0" --no-env-file "$@"`;
      const app = spawn('sh', ['-c', command, process.execPath, program, String(left), when, folder], {
        env: { PATH: process.env['PATH'] ?? '' },
      });
      const [out, complaint, [code]] = await Promise.all([text(app.stdout), text(app.stderr), once(app, 'exit')]);
      expect({ code, complaint }).toEqual({ code: 0, complaint: '' });
      const lines: { operation?: string; outcome?: unknown }[] = out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines.filter((line) => !line.operation || line.outcome === 'hangs')).toEqual([]);
      const outcomes = Object.fromEntries(lines.map(({ operation, outcome }) => [operation, outcome]));
      expect(Object.keys(outcomes)).toHaveLength(17);
      expect(outcomes).toMatchObject({ doctor: 'EXHAUSTED', check: 'EXHAUSTED', afterwards: 'answered', health: 200 });
      const all = readdirSync(folder, { recursive: true }).map(String);
      expect(all.filter((name) => /unusable|damaged/.test(name))).toEqual([]);
    });
  }
}
