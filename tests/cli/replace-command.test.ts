/** A user who replaces a database is shown what that means, and asked if somebody can be. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';
import { createFakeService, type FakeService, firstBackup, secondBackup } from '../http/fake-service.ts';
import { z } from 'zod';
import { runCli } from '../../src/cli/program.ts';
import { answers } from '../../src/cli/json-schemas.ts';

async function cli(
  argv: string,
  { answer, service = createFakeService() }: { answer?: boolean; service?: FakeService } = {},
) {
  let stdout = '';
  let stderr = '';
  const questions: string[] = [];
  const code = await runCli(argv.split(' '), {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    signal: new AbortController().signal,
    createService: () => service,
    async serve() {},
    ...(answer !== undefined && {
      async ask(question: string) {
        questions.push(question);
        return answer;
      },
    }),
  });
  const changes = service.calls.filter((call) => /^(restore|undoRestore)/.test(call));
  return { code, stdout, stderr, questions, changes };
}

const scratch = scratchFolders();
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The program itself at a terminal, where somebody types that when asked. */
async function atTerminal(argv: readonly string[], typed: string): Promise<{ code: number; shown: string }> {
  let shown = '';
  let isTyped = false;
  // What it printed last may come after its end.
  const closed = Promise.withResolvers<void>();
  const program = Bun.spawn([process.execPath, '--no-env-file', main, ...argv], {
    env: { PATH: process.env['PATH'] },
    terminal: {
      data(terminal, bytes) {
        shown += new TextDecoder().decode(bytes);
        if (isTyped || !shown.includes('[y/N]')) return;
        isTyped = true;
        terminal.write(typed);
      },
      exit: () => closed.resolve(),
    },
  });
  const code = await program.exited;
  await closed.promise;
  return { code, shown };
}

test('at a terminal only a yes replaces the database: no other word, no interrupt and no end of the input does', async () => {
  const folder = scratch();
  const database = join(folder, 'app.sqlite');
  makeDatabase(database, { rows: 3 });
  const places = ['--database', database, '--backups', join(folder, 'backups')];
  expect((await atTerminal(['backup', ...places], '')).code).toBe(0);
  ask(database, 'DELETE FROM notes');
  for (const typed of ['n\n', '\n', 'yesterday\n', '\x03', '\x04']) {
    const { code, shown } = await atTerminal(['restore', 'latest', '--in-place', ...places], typed);
    expect([typed, code, shown]).toEqual([typed, 130, expect.stringContaining('nothing was changed')]);
    expect(ask(database, 'SELECT count(*) FROM notes')).toBe(0);
  }
  expect((await atTerminal(['restore', 'latest', '--in-place', ...places], 'Yes\n')).code).toBe(0);
  expect(ask(database, 'SELECT count(*) FROM notes')).toBe(3);
}, 180_000);

/** A service whose last restore can be undone. */
function undoable(): FakeService {
  const service = createFakeService();
  const { getStatus } = service;
  service.getStatus = async () => ({
    ...(await getStatus()),
    undo: { filename: firstBackup, restored: secondBackup, at: new Date(0) },
  });
  return service;
}

const replacing = [
  [`restore ${firstBackup} --online`, 'restore online'],
  [`restore ${firstBackup} --in-place`, 'restore offline'],
  ['undo', 'undoRestore'],
  ['undo --in-place', 'undoRestore offline'],
] as const;

for (const [argv, change] of replacing) {
  test(`${argv} shows its plan and asks; a no changes nothing`, async () => {
    const no = await cli(argv, { answer: false, service: undoable() });
    expect([no.code, no.questions, no.changes]).toEqual([130, ['Replace dev.sqlite? [y/N] '], []]);
    expect(no.stderr).toMatch(
      /ROWS NOW[\s\S]*orders[\s\S]*`velist-backup undo` brings it back\.[\s\S]*nothing was changed/,
    );
    const yes = await cli(argv, { answer: true, service: undoable() });
    expect([yes.code, yes.changes]).toEqual([0, [change]]);
  });

  test(`${argv} does not ask where it is told --yes, or nobody is there`, async () => {
    const told = await cli(`${argv} --yes`, { answer: false, service: undoable() });
    expect([told.code, told.questions, told.changes]).toEqual([0, [], [change]]);
    const alone = await cli(argv, { service: undoable() });
    expect([alone.code, alone.changes]).toEqual([0, [change]]);
    expect(alone.stderr).toContain('ROWS NOW');
  });

  test(`${argv} --dry-run shows the plan alone, for a script as one document`, async () => {
    const shown = await cli(`${argv} --dry-run`, { answer: true, service: undoable() });
    expect([shown.code, shown.questions, shown.changes]).toEqual([0, [], []]);
    expect(shown.stdout).toContain('ROWS NOW');
    const { stdout, changes } = await cli(`${argv} --dry-run --json`, { service: undoable() });
    const document: unknown = JSON.parse(stdout);
    expect(changes).toEqual([]);
    expect(document).toMatchObject({ dryRun: true, backup: firstBackup, plan: { confirm: 'dev.sqlite', undo: true } });
    expect(z.safeParse(answers.undo, document).error).toBeUndefined();
  });
}

test('a restore to a new file asks nothing, and its dry run writes nothing', async () => {
  const restored = await cli(`restore ${firstBackup} --to new.sqlite`, { answer: false });
  expect([restored.code, restored.changes]).toEqual([0, ['restore file']]);
  const { stdout, changes } = await cli(`restore ${firstBackup} --to new.sqlite --dry-run --json`);
  expect(changes).toEqual([]);
  expect(JSON.parse(stdout)).toEqual({
    dryRun: true,
    mode: 'file',
    backup: firstBackup,
    path: 'new.sqlite',
    plan: null,
  });
});

test('--quiet hushes no question, and its plan neither', async () => {
  const { stderr } = await cli(`restore ${firstBackup} --online --quiet`, { answer: false });
  expect(stderr).toContain('ROWS NOW');
  expect((await cli(`restore ${firstBackup} --online --quiet`)).stderr).toBe('');
});

test('offline, who has the database open is named instead of asking what would be refused', async () => {
  const service = createFakeService();
  const { planRestore } = service;
  service.planRestore = async (...given) => ({
    ...(await planRestore(...given)),
    openIn: [{ pid: 4711, name: 'python3' }],
  });
  const { code, stderr, questions, changes } = await cli(`restore ${firstBackup} --in-place`, {
    answer: true,
    service,
  });
  expect([code, questions, changes]).toEqual([1, [], []]);
  expect(stderr).toContain('dev.sqlite is open in python3 (process 4711) (RESTORE_IN_USE)');
});

test('where the file is gone nothing is replaced and nothing is asked, and a file that appears meanwhile stays', async () => {
  const missing = () => {
    const service = undoable();
    const { planRestore } = service;
    service.planRestore = async (...given) => ({
      ...(await planRestore(...given)),
      ...{ now: null, modes: ['missing', 'offline'], mode: 'missing', undo: false },
    });
    return service;
  };
  for (const [argv, change] of [
    [`restore ${firstBackup} --in-place`, 'restore missing'],
    ['undo --in-place', 'undoRestore missing'],
  ] as const) {
    const { code, stderr, questions, changes } = await cli(argv, { answer: false, service: missing() });
    expect([code, questions, changes]).toEqual([0, [], [change]]);
    expect(stderr).toContain('to the place of dev.sqlite.\nnow:   no file. Nothing is overwritten');
  }
  // A file that appears would be replaced online.
  expect(await cli(`restore ${firstBackup} --online`, { answer: false, service: missing() })).toMatchObject({
    ...{ code: 130, questions: ['Replace dev.sqlite? [y/N] '], changes: [] },
  });
  const { stdout, changes } = await cli('undo --in-place --dry-run --json', { service: missing() });
  const document: unknown = JSON.parse(stdout);
  expect(changes).toEqual([]);
  expect(document).toMatchObject({ mode: 'missing', plan: { now: null } });
  expect(z.safeParse(answers.undo, document).error).toBeUndefined();
});

test('a backup of another database is refused before anybody is asked', async () => {
  const service = createFakeService();
  const { findRestorePoint } = service;
  service.findRestorePoint = async (...given) => ({
    ...(await findRestorePoint(...given)),
    other: { id: null, name: 'blog.sqlite' },
  });
  const refused = await cli(`restore ${firstBackup} --online`, { answer: true, service });
  expect([refused.code, refused.questions, refused.changes]).toEqual([1, [], []]);
  expect(refused.stderr).toContain('(FOREIGN_PLACE)');
  const meant = await cli(`restore ${firstBackup} --online --from-other`, { answer: true, service });
  expect([meant.code, meant.questions.length]).toEqual([0, 1]);
});

test('an undo where there is none says so, and asks nothing', async () => {
  const { questions, changes } = await cli('undo', { answer: true });
  expect([questions, changes]).toEqual([[], ['undoRestore']]);
});
