/** What must hold for any manifest, name, setting and path, and not only for those that somebody thought of. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { loadEnvironment } from '../../src/config/env.ts';
import { isBackupName, nameBackup } from '../../src/engine/format/names.ts';
import { formatManifest, parseManifest } from '../../src/engine/format/manifest.ts';
import { BackupError } from '../../src/words/errors.ts';
import { backupName } from '../../src/http/contract.ts';
import { shownPath } from '../../src/http/shown-paths.ts';
import { openShop, manifestOf } from '../support/scratch.ts';

const seed = 20_240_115;
const usual = { seed, numRuns: 500 };
const anyText = fc.string({ unit: 'binary' });

test('a manifest is read as it was written', () => {
  const changes = fc.record({
    pinned: fc.boolean(),
    note: fc.option(anyText),
    user: fc.option(anyText),
    sequence: fc.option(fc.integer({ min: 1, max: 1e9 })),
  });
  fc.assert(
    fc.property(changes, (change) => {
      const manifest = manifestOf(new Date('2024-01-15T12:00:00.000Z'), change);
      expect(parseManifest(formatManifest(manifest), manifest.name)).toEqual(manifest);
    }),
    usual,
  );
});

test('any text is a manifest or BAD_BACKUP, also one that is right but for one field', () => {
  const right = manifestOf(new Date('2024-01-15T12:00:00.000Z'));
  const fields = Object.keys(right) as (keyof typeof right)[];
  const texts = fc.oneof(
    anyText,
    fc.json(),
    fc
      .tuple(fc.constantFrom(...fields), fc.jsonValue())
      .map(([field, value]) => JSON.stringify({ ...right, [field]: value })),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        const parsed = parseManifest(text, right.name);
        expect([parsed.name, parsed.artifact.file.startsWith(right.name)]).toEqual([right.name, true]);
      } catch (error) {
        expect(error).toBeInstanceOf(BackupError);
        expect((error as BackupError).code).toBe('BAD_BACKUP');
      }
    }),
    usual,
  );
});

test('what is taken for a name is one part of a path, and every moment has one', () => {
  const near = fc.tuple(
    anyText,
    fc.date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true }),
    anyText,
  );
  fc.assert(
    fc.property(near, ([before, at, after]) => {
      expect(isBackupName(nameBackup(at))).toBe(true);
      expect(backupName.test(nameBackup(at))).toBe(true);
      for (const name of [before, before + nameBackup(at) + after, nameBackup(at) + after]) {
        if (!isBackupName(name) && !backupName.test(name)) continue;
        expect(name).toMatch(/^[\w.-]+$/);
        expect(name).not.toContain('..');
      }
    }),
    usual,
  );
});

test('no path of the server is shown whole', () => {
  const part = fc
    .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 12 })
    .filter((text) => !/[/\\]|^\.+$/.test(text));
  fc.assert(
    fc.property(fc.array(part, { minLength: 2, maxLength: 6 }), fc.array(part, { maxLength: 4 }), (path, working) => {
      const shown = shownPath(`/${path.join('/')}`, `/${working.join('/')}`);
      expect(shown.startsWith('/')).toBe(false);
      expect(shown.endsWith(path.at(-1) ?? '')).toBe(true);
    }),
    usual,
  );
});

test('any environment is taken or refused by BAD_CONFIG, without repeating a secret', () => {
  const secret = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 }).map((text) => `5ecret-${text}`);
  const names = ['PORT', 'HOST', 'DATABASE_URL', 'BACKUP_INTERVAL_MINUTES', 'BACKUP_S3_PATH', 'BACKUP_SCHEDULE'];
  const given = fc.record({
    plain: fc.dictionary(fc.constantFrom(...names), anyText),
    hidden: fc.dictionary(
      fc.constantFrom('BACKUP_ADMIN_PASSWORD', 'BACKUP_API_TOKEN', 'S3_SECRET_KEY', 'BACKUP_WEBHOOK_URL'),
      secret,
    ),
  });
  fc.assert(
    fc.property(given, ({ plain, hidden }) => {
      try {
        loadEnvironment({ ...plain, ...hidden });
      } catch (error) {
        expect(error).toBeInstanceOf(BackupError);
        const { code, message, hint } = error as BackupError;
        expect(code).toBe('BAD_CONFIG');
        expect(message + hint).not.toContain('5ecret-');
      }
    }),
    usual,
  );
});

test('any change of the settings is taken whole or refused whole, and stays among them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'velist-settings-'));
  try {
    await using shop = openShop(folder);
    const value = fc.oneof(fc.jsonValue(), fc.integer({ min: -1, max: 20_000 }), fc.boolean(), anyText);
    const name = fc.constantFrom('enabled', 'intervalMinutes', 'retentionCount', 's3Path', 'verify', 'localPath', 'x');
    const before = readdirSync(folder).sort();
    fc.assert(
      fc.property(fc.dictionary(name, value), (change) => {
        const was = JSON.stringify(shop.service.getConfig());
        try {
          shop.service.updateConfig(change as Parameters<typeof shop.service.updateConfig>[0]);
        } catch (error) {
          expect(BackupError.from(error).code).toBe('BAD_CONFIG');
          expect(JSON.stringify(shop.service.getConfig())).toBe(was);
        }
        const config = shop.service.getConfig();
        expect(config.intervalMinutes).toBeGreaterThan(0);
        expect(config.retentionCount).toBeGreaterThan(0);
        expect(config.s3Path).not.toMatch(/(^|\/)\.\.?(\/|$)/);
        expect(relative(folder, config.localPath)).toBe('backups');
      }),
      { seed, numRuns: 200 },
    );
    // Each change is recorded in the state.
    const isOurs = (entry: string) => entry === 'backups' || entry.startsWith('state.sqlite');
    expect(readdirSync(folder).filter((entry) => !before.includes(entry) && !isOurs(entry))).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
