/**
 * What keeps the house tidy, in the way of TigerBeetle's test of that name: limits on the length of functions and files, no
 * circle of imports, no export without a user, no comment without a subject. What breaks a limit today stands in
 * `tidy-exceptions.json`, and that list may only get shorter.
 */
import { expect, test } from 'bun:test';
import { Glob } from 'bun';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';
import list from './tidy-exceptions.json' with { type: 'json' };

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

interface Exceptions {
  /** Lines, by file. */
  readonly files: Readonly<Record<string, number>>;
  /** Lines, by file and function. */
  readonly functions: Readonly<Record<string, number>>;
  readonly circles: Readonly<Record<string, number>>;
  readonly exports: Readonly<Record<string, number>>;
  /** Comments, by file. */
  readonly comments: Readonly<Record<string, number>>;
}
const exceptions: Exceptions = list;
/** What the package exports, and what others than our own modules read. */
const entries = new Set(['src/index.ts', 'src/http/mount.ts', 'src/http/elysia.ts']);

const root = join(import.meta.dir, '..');
const isTest = (file: string) => /\.test\.ts$/.test(file);
const files = [...new Glob('src/**/*.{ts,svelte}').scanSync(root)].sort();
const others = [...new Glob('{tests,bench,docs,examples}/**/*.ts').scanSync(root), 'embed.ts'].filter(
  (file) => !file.includes('node_modules/'),
);
const text = new Map([...files, ...others].map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const sources = files.filter((file) => !isTest(file));
const trees = new Map(
  sources
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file, ts.createSourceFile(file, text.get(file) ?? '', ts.ScriptTarget.Latest, true)]),
);

/** Each exception must still be one, and must not have grown. */
function expectOnly(found: Readonly<Record<string, number>>, allowed: Readonly<Record<string, number>>): void {
  const isWorse = ([name, size]: [string, number]) => size > (allowed[name] ?? 0);
  expect(Object.entries(found).filter(isWorse)).toEqual([]);
  const stale = Object.keys(allowed).filter((name) => found[name] === undefined);
  expect(stale.map((name) => `${name} is tidy now: take it off the list`)).toEqual([]);
}

test('no file is longer than a reader takes in', () => {
  const long = sources
    .map((file): [string, number] => [file, (text.get(file) ?? '').trimEnd().split('\n').length])
    .filter(([, lines]) => lines > FILE_LINES_MAX);
  expectOnly(Object.fromEntries(long), exceptions.files);
});

test('no function is longer than a screen', () => {
  const long: Record<string, number> = {};
  for (const [file, tree] of trees) {
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body) {
        const [from, to] = [node.getStart(), node.end].map((at) => tree.getLineAndCharacterOfPosition(at).line);
        const lines = (to ?? 0) - (from ?? 0) + 1;
        const name = `${file} ${node.name?.getText() ?? 'a function without a name'}`;
        if (lines > FUNCTION_LINES_MAX) long[name] = Math.max(lines, long[name] ?? 0);
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  expectOnly(long, exceptions.functions);
});

interface Link {
  readonly to: string;
  readonly names: readonly string[];
}

const statement = /(?:^|[;\s])(?:import|export)\b([^'"`;]*?)\bfrom\s*'(\.[^']+)'|\bimport\s*\(?\s*'(\.[^']+)'/g;

function linksOf(file: string): Link[] {
  return [...(text.get(file) ?? '').matchAll(statement)].map(([, what = '', from, bare]) => ({
    to: normalize(join(dirname(file), from ?? bare ?? '')),
    names:
      what.includes('*') || from === undefined
        ? ['*']
        : [...what.matchAll(/\b(\w+)\b(?:\s+as\s+\w+)?/g)].map(([, name]) => name ?? ''),
  }));
}

test('no circle of imports, of types neither', () => {
  const graph = new Map(
    sources.map((file) => [
      file,
      linksOf(file)
        .map(({ to }) => to)
        .filter((to) => trees.has(to)),
    ]),
  );
  const circles = new Set<string>();
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      const circle = path.slice(at);
      const first = circle.indexOf(circle.toSorted()[0] ?? '');
      circles.add([...circle.slice(first), ...circle.slice(0, first)].join(' → '));
    }
    if (at >= 0 || done.has(file)) return;
    for (const to of graph.get(file) ?? []) walk(to, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) walk(file, []);
  expectOnly(Object.fromEntries([...circles].map((circle) => [circle, 1])), exceptions.circles);
});

test('no export without a user', () => {
  const used = new Map<string, Set<string>>();
  for (const file of text.keys())
    for (const { to, names } of linksOf(file)) {
      const all = used.get(to) ?? new Set<string>();
      for (const name of names) all.add(name);
      used.set(to, all);
    }
  const unused: Record<string, number> = {};
  for (const [file, tree] of trees) {
    if (entries.has(file)) continue;
    const users = used.get(file) ?? new Set<string>();
    if (users.has('*')) continue;
    for (const name of exportsOf(tree)) if (!users.has(name)) unused[`${file} ${name}`] = 1;
  }
  expectOnly(unused, exceptions.exports);
});

function exportsOf(tree: ts.SourceFile): string[] {
  return tree.statements.flatMap((statement) => {
    const isExported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (!isExported) return [];
    if (ts.isVariableStatement(statement))
      return statement.declarationList.declarations.map(({ name }) => name.getText());
    return 'name' in statement && statement.name ? [(statement.name as ts.Node).getText()] : [];
  });
}

/** "Of one target, …", "Who may not …", "So many …": a sentence starts with its subject (CONTRIBUTING.md). */
test('no comment without a subject', () => {
  const headless = /^\s*(?:\/\/|\/?\*\*?)\s+(Of|Who|So many|Whoever)\b(?![^.]*\?)/;
  const found = sources
    .map((file): [string, number] => [
      file,
      (text.get(file) ?? '').split('\n').filter((line) => headless.test(line)).length,
    ])
    .filter(([, lines]) => lines > 0);
  expectOnly(Object.fromEntries(found), exceptions.comments);
});
