import { describe, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf, openShop, scratchFolders } from '../../../tests/support/scratch.ts';
import { loadEnvironment, type Variables } from '../../config/env.ts';
import { readConfig } from '../../config/config-file.ts';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { planRetention } from '../../engine/catalog/retention.ts';
import type { Settings } from './backup-config.ts';
import { keepNames, localRetention, ownRetention, toKeepSettings } from '../targets/retention-policies.ts';
import { SettingsFile } from './settings.ts';
import { settingsWith } from '../../../tests/support/settings.ts';

const scratch = scratchFolders();
const byDefault = { keepHourly: 24, keepDaily: 7, keepWeekly: 4, keepMonthly: 0, keepYearly: 0 };
const none = { keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 };

/** The settings of a process with these variables, over what was saved in the folder. */
function open(folder: string, variables: Variables = {}): SettingsFile {
  const { backup } = loadEnvironment(variables);
  const start = settingsWith({ retentionCount: backup.retentionCount, ...toKeepSettings(backup.keep) });
  return new SettingsFile(folder, start, {
    keepIsDefault: backup.keepIsDefault,
    warn: (message) => {
      throw new Error(message);
    },
  });
}

const keepOf = (settings: Settings) => Object.fromEntries(keepNames.map((name) => [name, settings[name]]));
const saved = (folder: string) => JSON.parse(readFileSync(join(folder, 'settings.json'), 'utf8'));

describe('what is kept beside the newest', () => {
  test('is the default where nobody said a number, and 0 beside one that was said in the environment', () => {
    expect([keepOf(open(scratch()).current), open(scratch()).keepIsDefault]).toEqual([byDefault, true]);
    for (const [variables, said] of [
      [{ BACKUP_KEEP_MONTHLY: '12' }, { keepMonthly: 12 }],
      [{ BACKUP_KEEP_HOURLY: '0' }, {}],
      [
        { BACKUP_KEEP_DAILY: '7', BACKUP_KEEP_WEEKLY: '4' },
        { keepDaily: 7, keepWeekly: 4 },
      ],
    ] as const) {
      const settings = open(scratch(), variables);
      expect([keepOf(settings.current), settings.keepIsDefault]).toEqual([{ ...none, ...said }, false]);
    }
    expect(open(scratch(), { BACKUP_RETENTION_COUNT: '3' }).keepIsDefault).toBe(true);
  });

  test('is said by one number in the configuration file, and null takes that back', () => {
    const keepIn = (config: Parameters<typeof readConfig>[0], variables: Variables = {}) => {
      const [entry] = readConfig(config, { file: 'velist-backup.config.ts', variables }).entries;
      const backup = entry?.kind === 'database' ? entry.environment.backup : undefined;
      return [backup?.keepIsDefault, backup && toKeepSettings(backup.keep)];
    };
    expect(keepIn({})).toEqual([true, byDefault]);
    expect(keepIn({ keepDaily: 7 })).toEqual([false, { ...none, keepDaily: 7 }]);
    expect(keepIn({ keepDaily: null }, { BACKUP_KEEP_DAILY: '7' })).toEqual([true, byDefault]);
    expect(keepIn({ databases: [{ path: 'a.sqlite', keepHourly: 1 }] })).toEqual([false, { ...none, keepHourly: 1 }]);
  });

  test('a change of one number says all five, over a restart too, and its revert brings the default back', () => {
    const folder = scratch();
    const settings = open(folder);
    settings.change({ keepMonthly: 12 }, []);
    const changed = { ...byDefault, keepMonthly: 12 };
    for (const known of [settings, open(folder)]) {
      expect([keepOf(known.current), known.keepIsDefault]).toEqual([changed, false]);
      expect(known.overridden).toEqual({ keepMonthly: 0 });
    }
    expect(saved(folder)).toEqual(changed);
    const again = open(folder);
    again.change({}, ['keepMonthly']);
    for (const known of [again, open(folder)])
      expect([keepOf(known.current), known.keepIsDefault, known.overridden]).toEqual([byDefault, true, {}]);
  });

  test('a revert of one of two leaves the other, and one that is set to its number of before reverts too', () => {
    const settings = open(scratch());
    settings.change({ keepMonthly: 12, keepDaily: 0 }, []);
    settings.change({}, ['keepDaily']);
    expect([keepOf(settings.current), settings.keepIsDefault]).toEqual([{ ...byDefault, keepMonthly: 12 }, false]);
    settings.change({ keepMonthly: 0 }, []);
    expect(settings.keepIsDefault).toBe(true);
  });

  test('other settings leave the default alone', () => {
    const settings = open(scratch());
    settings.change({ retentionCount: 3, enabled: false }, []);
    expect([settings.keepIsDefault, settings.overridden]).toEqual([true, { retentionCount: 10, enabled: true }]);
  });

  test('numbers that an earlier version saved hold as they did there', () => {
    const folder = scratch();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'settings.json'), JSON.stringify({ keepDaily: 7 }));
    const settings = open(folder);
    expect([keepOf(settings.current), settings.keepIsDefault]).toEqual([{ ...none, keepDaily: 7 }, false]);
    expect(settings.overridden).toEqual({ keepHourly: 24, keepWeekly: 4 });
    settings.change({ enabled: false }, []);
    expect(keepOf(open(folder).current)).toEqual({ ...none, keepDaily: 7 });
    settings.change({}, ['keepHourly', 'keepWeekly']);
    expect(open(folder).keepIsDefault).toBe(true);
  });

  test('numbers of the environment win over the default and give way to a change, as ever', () => {
    const folder = scratch();
    const variables = { BACKUP_KEEP_DAILY: '7' };
    open(folder, variables).change({ keepMonthly: 12 }, []);
    expect(saved(folder)).toEqual({ keepMonthly: 12 });
    expect(keepOf(open(folder, variables).current)).toEqual({ ...none, keepDaily: 7, keepMonthly: 12 });
  });

  test('at a target the default is none, and what was said here holds there', () => {
    const { keep, byDefault: limit } = localRetention(settingsWith(byDefault), 10, { databases: 1 });
    expect([keep, limit]).toEqual([{ hourly: 24, daily: 7, weekly: 4, monthly: 0, yearly: 0 }, { databases: 1 }]);
    const own = (local: Partial<Settings>, isDefault: boolean, numbers = {}) =>
      ownRetention(localRetention(settingsWith(local), 10, isDefault ? { databases: 1 } : null), {
        retentionCount: null,
        keep: numbers,
      });
    const zero = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    expect(own(byDefault, true)).toEqual({ count: 10, startBurstMs: 600_000, keep: zero });
    expect(own(byDefault, true, { daily: 30 }).keep).toEqual({ ...zero, daily: 30 });
    expect(own(byDefault, false).keep).toEqual({ ...zero, hourly: 24, daily: 7, weekly: 4 });
  });
});

/** A backup each 90 minutes, as far back as 80 days, the newest first. */
const hundreds: readonly Backup[] = Array.from({ length: 1_280 }, (_, index) => {
  const createdAt = new Date(Date.parse('2024-03-01T11:00:00Z') - index * 90 * 60_000);
  const manifest = manifestOf(createdAt);
  return { name: manifest.name, path: manifest.name, sizeBytes: 2 ** 40, createdAt, manifest, fault: null };
});

/** What the version before there was a default kept of them. */
const golden: readonly [Variables, readonly string[]][] = [
  [{ BACKUP_RETENTION_COUNT: '2', BACKUP_KEEP_HOURLY: '0' }, ['2024-03-01T11', '2024-03-01T09']],
  [{ BACKUP_RETENTION_COUNT: '1', BACKUP_KEEP_DAILY: '3' }, ['2024-03-01T11', '2024-02-29T23', '2024-02-28T23']],
  [
    { BACKUP_RETENTION_COUNT: '1', BACKUP_KEEP_HOURLY: '3', BACKUP_KEEP_WEEKLY: '3', BACKUP_KEEP_MONTHLY: '3' },
    [
      '2024-03-01T11',
      '2024-03-01T09',
      '2024-03-01T08',
      '2024-02-29T23',
      '2024-02-25T23',
      '2024-02-18T23',
      '2024-01-31T23',
    ],
  ],
  [{ BACKUP_RETENTION_COUNT: '1', BACKUP_KEEP_YEARLY: '3' }, ['2024-03-01T11', '2023-12-31T23', '2023-12-12T12']],
];
for (const [variables, expected] of golden) {
  test(`said numbers plan as before, whatever the disk: ${JSON.stringify(variables)}`, () => {
    const policy = localRetention(open(scratch(), variables).current, 10);
    const { kept } = planRetention(hundreds, policy, { now: new Date('2024-03-01T12:00:00Z') });
    expect(kept.map(({ backup }) => backup.name.slice(7, 20))).toEqual([...expected]);
  });
}

/** What is said of a file with that text. */
function openText(folder: string, text: string) {
  const path = join(folder, 'settings.json');
  writeFileSync(path, text);
  const warnings: string[] = [];
  return {
    file: new SettingsFile(folder, settingsWith(), { warn: (message) => warnings.push(message) }),
    path,
    warnings,
  };
}

test('one wrong setting takes none of the others along', () => {
  const { file, warnings } = openText(scratch(), '{"retentionCount": 0, "intervalMinutes": 30}');
  expect([file.current.retentionCount, file.current.intervalMinutes]).toEqual([10, 30]);
  expect([file.complaint, warnings]).toEqual([
    'retentionCount: at least 1 backup',
    [expect.stringContaining('no backup is removed, until it is corrected or saved again')],
  ]);
});

test('what a newer version saved does nothing, is named, and is still there after a change', () => {
  const { file, path, warnings } = openText(scratch(), '{"colour": "red", "retentionCount": 20}');
  expect([file.current.retentionCount, file.complaint, warnings]).toEqual([
    ...[20, null],
    [expect.stringContaining('(colour); they have no effect')],
  ]);
  file.change({ intervalMinutes: 5 }, []);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ colour: 'red', retentionCount: 20, intervalMinutes: 5 });
});

test('settings saved anew take the place of unreadable ones, which are set aside', () => {
  const folder = scratch();
  const { file, path, warnings } = openText(folder, '{"retentionCount": 1');
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
