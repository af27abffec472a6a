import { expect, test } from 'bun:test';
import { BackupError, hideFoldersOf, publicError, withoutFolders } from './errors.ts';

test('folders of this machine are cut from a text, relative paths and URLs are not', () => {
  for (const [text, shown] of [
    ['no file at /srv/app/db/dev.sqlite', 'no file at dev.sqlite'],
    ["'/srv/app/x' is not '/srv/app/y'", "'x' is not 'y'"],
    ['see ./storage/backups and ../x/y', 'see ./storage/backups and ../x/y'],
    ['see https://example.com/srv/x', 'see https://example.com/srv/x'],
    ['open /backup', 'open /backup'],
    ['`cp /proc/4711/fd/5 saved; ls /proc/4711/cwd/x`', '`cp /proc/4711/fd/5 saved; ls x`'],
  ] as const)
    expect([text, withoutFolders(text)]).toEqual([text, shown]);
});

test('folders of a service are cut whatever is in their names', () => {
  const folder = "/velist test/it's (mine) [1]/a+b/c.d$/ü";
  hideFoldersOf([`${folder}/dev app.sqlite`, `${folder}/back ups/_`]);
  for (const [text, shown] of [
    [`there is no file at ${folder}/dev app.sqlite`, 'there is no file at dev app.sqlite'],
    [`'${folder}/back ups/x.sqlite' and "${folder}/back ups"`, `'x.sqlite' and "back ups"`],
    [`rename ${folder}/back ups/.staging/x -> ${folder}/back ups/x`, 'rename .staging/x -> x'],
    // Above it, and beside it.
    [`the folder ${folder} can not be read`, 'the folder ü can not be read'],
    ["no room in /velist test/it's (mine) [1]/other/x", 'no room in other/x'],
    [`https://example.com${folder}/x and .${folder}/x`, `https://example.com${folder}/x and .${folder}/x`],
  ] as const)
    expect([text, withoutFolders(text)]).toEqual([text, shown]);
  const error = {
    code: 'NO_PERMISSION',
    message: `open '${folder}/back ups/a'`,
    hint: `See ${folder}/back ups.`,
  } as const;
  expect(publicError(error)).toEqual({ ...error, message: "open 'a'", hint: 'See back ups.' });
});

test('a full disk is called so whoever met it, and however far down', () => {
  const full = [
    Object.assign(new Error('write'), { code: 'ENOSPC' }),
    Object.assign(new Error('write'), { code: 'EDQUOT' }),
    Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 }),
    new Error('the stream ended', { cause: Object.assign(new Error('write'), { code: 'ENOSPC' }) }),
  ];
  for (const error of full) expect([error.message, BackupError.from(error).code]).toEqual([error.message, 'DISK_FULL']);
  const other = Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 10 });
  expect(BackupError.from(other).code).toBe('INTERNAL');
});
