import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { isKey } from '../engine/store/object-key.ts';
import { SettingsFile } from '../service/state/settings.ts';
import { scratchFolders } from '../../tests/support/scratch.ts';
import { readConfig } from './config-file.ts';
import { loadEnvironment } from './env.ts';
import { isPrefix, prefix, prefixBelow } from './prefix.ts';
import { settingsWith } from '../../tests/support/settings.ts';

const newFolder = scratchFolders();

test('a prefix has no slashes at its ends, and what is read once is read alike again', () => {
  expect(prefix.parse('//backups/shop/')).toBe('backups/shop');
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      const { success, data = '' } = prefix.safeParse(text);
      if (success) expect([isKey(data), isPrefix(data), prefix.parse(data)]).toEqual([true, true, data]);
    }),
    { seed: 20_261_204, numRuns: 500 },
  );
  for (const wrong of ['', '/', 'a//b', '../a', 'a/.', 's3://bucket/a', 'https://host/a', 'a\\b', 'x'.repeat(513)])
    expect(prefix.safeParse(wrong).error?.issues, wrong).toHaveLength(1);
});

test('the environment, a target of many and the page take the same spellings', () => {
  const page = new SettingsFile(newFolder(), settingsWith(), { warn: () => {} });
  for (const [written, meant] of [
    ['shop/', 'shop'],
    ['/my backups/the shop', 'my backups/the shop'],
    [' für/köln ', 'für/köln'],
  ] as const) {
    const targets = { eu: { bucket: 'eu', path: written } };
    const { entries } = readConfig({ targets, databases: [{ path: 'app' }] }, { file: 'config.ts', variables: {} });
    const [of] = entries.flatMap((entry) => (entry.kind === 'database' ? (entry.environment.targets ?? []) : []));
    expect([
      loadEnvironment({ BACKUP_S3_PATH: written }).backup.s3Path,
      of?.environment.backup.s3Path,
      page.change({ s3Path: written }, []).s3Path,
    ]).toEqual([meant, prefixBelow(meant, 'app'), meant]);
  }
});
