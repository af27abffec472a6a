import { expect, test } from 'bun:test';
import { chownSync, linkSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { makePrivateFolder } from './private-folder.ts';
import { giveBack, giveToOwnerOfFolder } from './owner.ts';

const scratch = scratchFolders();
const NOBODY = 65_534;
const uidOf = (path: string) => statSync(path).uid;

test.if(process.getuid?.() === 0)(
  'what root makes belongs to the owner of its folder, and nothing else changes hands',
  () => {
    const folder = join(scratch(), 'shared');
    mkdirSync(folder);
    chownSync(folder, NOBODY, NOBODY);
    makePrivateFolder(join(folder, 'storage', 'backups'));
    expect([uidOf(join(folder, 'storage')), uidOf(join(folder, 'storage/backups'))]).toEqual([NOBODY, NOBODY]);

    const elsewhere = join(scratch(), 'of-root');
    writeFileSync(elsewhere, '');
    linkSync(elsewhere, join(folder, '.backup-link'));
    symlinkSync(elsewhere, join(folder, '.backup-symbolic'));
    for (const name of ['.backup-a', 'somebody-elses']) writeFileSync(join(folder, name), '');
    giveBack(folder, { isOurs: (entry) => entry.startsWith('.backup-') });
    expect([uidOf(join(folder, '.backup-a')), uidOf(join(folder, 'somebody-elses')), uidOf(elsewhere)]).toEqual([
      ...[NOBODY, 0, 0],
    ]);
    giveToOwnerOfFolder(join(folder, 'somebody-elses'));
    expect(uidOf(join(folder, 'somebody-elses'))).toBe(NOBODY);
  },
);
