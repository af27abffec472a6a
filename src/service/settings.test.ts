import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openShop, scratchFolders, shopSettings } from '../../tests/support/scratch.ts';
import { SettingsFile } from './settings.ts';

const scratch = scratchFolders();

function open(folder: string, text: string) {
  const path = join(folder, 'settings.json');
  writeFileSync(path, text);
  const warnings: string[] = [];
  return {
    file: new SettingsFile(folder, shopSettings, { warn: (message) => warnings.push(message) }),
    path,
    warnings,
  };
}

test('one wrong setting takes none of the others along', () => {
  const { file, warnings } = open(scratch(), '{"retentionCount": 0, "intervalMinutes": 30}');
  expect([file.current.retentionCount, file.current.intervalMinutes]).toEqual([10, 30]);
  expect([file.complaint, warnings]).toEqual([
    'retentionCount: at least 1 backup',
    [expect.stringContaining('no backup is removed, until it is corrected or saved anew')],
  ]);
});

test('what a newer version saved does nothing, is named, and is still there after a change', () => {
  const { file, path, warnings } = open(scratch(), '{"colour": "red", "retentionCount": 20}');
  expect([file.current.retentionCount, file.complaint, warnings]).toEqual([
    ...[20, null],
    [expect.stringContaining('(colour); they do nothing')],
  ]);
  file.change({ intervalMinutes: 5 }, []);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ colour: 'red', retentionCount: 20, intervalMinutes: 5 });
});

test('settings saved anew take the place of unreadable ones, which are set aside', () => {
  const folder = scratch();
  const { file, path, warnings } = open(folder, '{"retentionCount": 1');
  file.change({ retentionCount: 7 }, []);
  expect([file.complaint, JSON.parse(readFileSync(path, 'utf8'))]).toEqual([null, { retentionCount: 7 }]);
  const aside = readdirSync(folder).find((name) => name.startsWith('settings.json.unusable-')) ?? '';
  expect(readFileSync(join(folder, aside), 'utf8')).toBe('{"retentionCount": 1');
  expect(warnings.at(-1)).toEndWith(`was moved to ${join(folder, aside)}.`);
});

test('while settings can not be read nothing is due for removal, and plan and doctor say why', async () => {
  await using shop = openShop(scratch(), { settings: { retentionCount: 1 } });
  mkdirSync(shop.backups);
  writeFileSync(join(shop.backups, 'settings.json'), '{');
  for (let round = 0; round < 3; round++) expect((await shop.service.performBackup()).success).toBe(true);
  const { kept, removed } = await shop.service.prune({ dryRun: true });
  expect([kept.length, removed, kept[1]?.reasons]).toEqual([
    ...[3, []],
    [expect.stringContaining('settings.json is unreadable')],
  ]);
  const { findings } = await shop.service.diagnose();
  expect(findings[0]).toMatchObject({ code: 'settings-file', severity: 'problem' });
  shop.service.updateConfig({ intervalMinutes: 20 });
  expect((await shop.service.prune()).removed.length).toBe(2);
});
