/** What the documentation says is held to the code: settings, error codes, links, and that the site can be built. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderConfigurationPage } from '../../docs/settings.ts';
import { errorCodes, type ErrorCode } from '../../src/words/errors.ts';
import { scratchFolders } from '../support/scratch.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const newFolder = scratchFolders();
const read = (page: string): string => readFileSync(join(root, page), 'utf8');

test('every setting stands in the configuration page with the default of today', () => {
  const page = read('docs/configuration.md');
  expect(renderConfigurationPage(page), 'bun docs/settings.ts writes it anew').toBe(page);
});

test('every error code has its section in troubleshooting, and no section is of a code that is gone', () => {
  const sections = [...read('docs/troubleshooting.md').matchAll(/^### (\w+)$/gm)].map(([, code = '']) => code);
  expect(sections.toSorted()).toEqual(errorCodes.toSorted());
});

test('the site is built, and no link in it leads nowhere', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['node_modules/.bin/vitepress', 'build', 'docs', '--outDir', newFolder()],
    { cwd: root, encoding: 'utf8' },
  );
  expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
}, 120_000);

for (const page of ['README.md', 'llms.txt'])
  test(`what ${page} links to is there`, () => {
    const links = [...read(page).matchAll(/(?:\]\(|(?:src|srcset)=")(docs\/[^)#"]+)/g)].map(([, link = '']) => link);
    expect(links.length).toBeGreaterThan(5);
    for (const link of links) expect(read(link), link).not.toBe('');
  });

test('the README can be read in three minutes', () => {
  const words = read('README.md')
    .split(/\s+/)
    .filter((word) => /\w/.test(word));
  expect(words.length).toBeLessThan(750);
});

test('what agents are told to call exists', () => {
  const skill = read('skills/velist-backup/SKILL.md');
  const { stdout } = spawnSync(process.execPath, ['src/cli/main.ts', '--help'], { cwd: root, encoding: 'utf8' });
  const verbs = [...stdout.matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, verb]) => verb);
  const called = [...skill.matchAll(/velist-backup (\w[\w-]*)(?= |`)/g)].map(([, verb = '']) => verb);
  expect(called.length).toBeGreaterThan(8);
  for (const verb of called) expect(verbs).toContain(verb);
  for (const [, code = ''] of skill.matchAll(/`([A-Z]+_[A-Z_]+)`/g))
    if (!code.startsWith('BACKUP_') && code !== 'DATABASE_URL') expect(errorCodes).toContain(code as ErrorCode);
});
