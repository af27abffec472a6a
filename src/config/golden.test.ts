/**
 * What configurations resolved to before the settings became a table: `golden.json` was written by the code of that day,
 * and is never written anew. A prefix that moved would leave the backups of a bucket behind, so each case has those of
 * all its databases and targets in full; of the other settings it has what differs from the defaults.
 */
import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../tests/support/scratch.ts';
import { createService } from '../service/from-environment.ts';
import { nameInGlob, readConfig } from './config-file.ts';
import { type BackupsConfig, defineConfig } from './define-config.ts';
import { type Environment, loadEnvironment } from './env.ts';

interface Case {
  readonly says: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly config?: object;
  /** The `settings.json` that the page wrote. */
  readonly saved?: object;
  readonly resolved: object;
}

const newFolder = scratchFolders();
const cases: readonly Case[] = JSON.parse(readFileSync(join(import.meta.dir, 'golden.json'), 'utf8'));

test.each(cases.map((one) => [one.says, one] as const))('%s', async (_, one) => {
  expect(JSON.parse(JSON.stringify(await resolved(one)))).toEqual(one.resolved);
});

test('the cases are many, and each is another', () => {
  expect(cases.length).toBeGreaterThan(60);
  expect(new Set(cases.map(({ says }) => says)).size).toBe(cases.length);
});

/** By the name of the database, as its service has them; a glob finds `acme.sqlite`. */
async function resolved({ variables = {}, config, saved }: Omit<Case, 'says' | 'resolved'>): Promise<object> {
  if (config === undefined) return { app: await told(loadEnvironment(variables), saved) };
  const { common, entries } = readConfig(defineConfig(config as BackupsConfig), { file: 'config.ts', variables });
  const all: Record<string, object> = {};
  for (const entry of entries) {
    if (entry.kind === 'database') all[entry.name] = await told(entry.environment, saved);
    else {
      const name = nameInGlob(entry, 'acme.sqlite');
      all[name] = await told(entry.environmentOf(name, 'acme.sqlite'), saved);
    }
  }
  const { host, port, signIn } = common;
  return { ...all, ...(host === '127.0.0.1' && port === 3000 ? {} : { common: { host, port, signIn } }) };
}

async function told(environment: Environment, saved: object | undefined): Promise<object> {
  const { targets = [], jobEnvironment: _, ...rest } = environment;
  const backupsPath = newFolder();
  if (saved) writeFileSync(join(backupsPath, 'settings.json'), JSON.stringify(saved));
  // A service remembers the folders of its files for as long as the process lives.
  const [databasePath, statePath] = [join(backupsPath, 'app.sqlite'), join(backupsPath, 'state.sqlite')];
  const log: string[] = [];
  const service = createService(environment, { databasePath, backupsPath, statePath, write: (line) => log.push(line) });
  const { s3Path: prefix, localPath: __, databasePath: ___, ...config } = service.getConfig();
  await service.close();
  expect(log).toEqual([]);
  const places = targets.map(({ name, environment: of }) => [
    name,
    { prefix: of.backup.s3Path, ...differing(of, loadEnvironment({})) },
  ]);
  return {
    prefix,
    ...differing(rest, loadEnvironment({})),
    ...(places.length > 0 ? { targets: Object.fromEntries(places) } : {}),
    ...(saved ? { changed: config.changed } : {}),
  };
}

/** What differs, by the dotted names of single values. */
function differing(value: unknown, start: unknown, at = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return JSON.stringify(value) === JSON.stringify(start) ? {} : { [at]: value };
  const before: Record<string, unknown> = typeof start === 'object' && start !== null ? { ...start } : {};
  const of: Record<string, unknown> = { ...value };
  return Object.assign(
    {},
    ...Object.keys(of).map((key) => differing(of[key], before[key], at === '' ? key : `${at}.${key}`)),
  );
}
