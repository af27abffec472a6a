import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { changeInstallation, installationPath, readInstallation } from './installation.ts';

const scratch = scratchFolders();
const now = () => new Date('2024-03-01T12:00:00Z');

test('a damaged installation file counts as none, and is set aside by whoever writes it anew', async () => {
  const folder = scratch();
  const path = installationPath(join(folder, 'state.sqlite'));
  const { id } = await changeInstallation(path, (one) => one, { now });
  expect(readInstallation(path)?.id).toBe(id);
  writeFileSync(path, '{"format":');
  expect(readInstallation(path)).toBeNull();
  expect(readFileSync(path, 'utf8')).toBe('{"format":');
  const warnings: string[] = [];
  const made = await changeInstallation(path, (one) => one, { now, warn: (message) => warnings.push(message) });
  expect(made.id).not.toBe(id);
  expect(warnings).toEqual([
    expect.stringMatching(/is damaged and was moved to .*unusable-\w+; this machine counts as/),
  ]);
  expect(readdirSync(folder).filter((name) => name.includes('unusable')).length).toBe(1);
});
