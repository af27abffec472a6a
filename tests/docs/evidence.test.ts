/** What the threat model and the tables of ASVS name as evidence is there: each file, and each test in it by its name. */
import { expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = readdirSync(join(root, 'docs')).filter((name) => /^(threat-model|asvs.*)\.md$/.test(name));

interface Evidence {
  readonly file: string;
  /** As it is quoted, with … for what is left out; null where the whole file is meant. */
  readonly test: string | null;
}

/** `tests/http/rights.test.ts` "… asks for the right …", "… is kept by no cache …" */
function evidenceOf(page: string): readonly Evidence[] {
  const lines = readFileSync(join(root, 'docs', page), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => [...line.matchAll(/`((?:tests|src)\/[\w./-]+\.ts)`((?:,? "[^"]+")*)/g)])
    .flatMap(([, file = '', quoted = '']): Evidence[] => {
      const names = [...quoted.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name);
      return names.length === 0 ? [{ file, test: null }] : names.map((name) => ({ file, test: name }));
    });
}

/** Some name of a test is a template: what is quoted of it must stand in one line. */
function isNamedIn(text: string, quoted: string): boolean {
  const parts = quoted.split('…').map((part) => part.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  // Where a table names the tests its words stand between any quotes.
  return new RegExp(parts.filter(Boolean).join('.*').replaceAll("'", "['’]")).test(text.replaceAll("\\'", "'"));
}

for (const page of pages) {
  test(`docs/${page} names files and tests that are there`, () => {
    const evidence = evidenceOf(page);
    expect(evidence.length).toBeGreaterThan(20);
    const wrong = evidence.filter(({ file, test: name }) => {
      const path = join(root, file);
      return !existsSync(path) || (name !== null && !isNamedIn(readFileSync(path, 'utf8'), name));
    });
    expect(wrong.map(({ file, test: name }) => `${file} ${name ?? ''}`)).toEqual([]);
  });
}

test('a file or a test that is not there would be seen', () => {
  const text = "test('a folder is closed', () => {});\ntest(`$route asks for the right $right`, () => {});";
  for (const name of ['a folder …', '… asks for the right …', 'a folder is closed'])
    expect(isNamedIn(text, name)).toBe(true);
  for (const name of ['a folder is open', '… asks for the left …', 'closed … a folder'])
    expect(isNamedIn(text, name)).toBe(false);
});
