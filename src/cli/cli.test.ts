import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createFakeService,
  type FakeService,
  firstBackup,
  missingBackup,
  rescueId,
  secondBackup,
} from '../../tests/http/fake-service.ts';
import { BackupError, type ErrorCode } from '../words/errors.ts';
import { sayMoment } from '../words/moment.ts';
import type { RunProgress } from '../service/model.ts';
import type { CliPlaces } from './session.ts';
import { runCli } from './program.ts';
import { progressLine } from './output.ts';

const folder = mkdtempSync(join(tmpdir(), 'velist-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function cli(
  argv: string | readonly string[],
  options: { service?: FakeService; signal?: AbortSignal; isTTY?: boolean; answer?: boolean } = {},
) {
  const service = options.service ?? createFakeService();
  let stdout = '';
  let stderr = '';
  let places: CliPlaces | undefined;
  const code = await runCli(typeof argv === 'string' ? argv.split(' ') : argv, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text), isTTY: options.isTTY },
    signal: options.signal ?? new AbortController().signal,
    createService(given) {
      places = given;
      return service;
    },
    async serve(given) {
      places = given;
    },
    now: () => new Date('2024-02-01T00:00:00Z'),
    ...(options.answer !== undefined && { ask: async () => options.answer ?? false }),
  });
  return { code, stdout, stderr, places, calls: service.calls };
}

test('a backup that is done exits 0 and names its file', async () => {
  const { code, stdout, calls } = await cli('backup');
  expect([code, stdout]).toEqual([0, 'Completed: backup-2024-01-15T12-30-00-000Z.sqlite (1000 B)\n']);
  expect(calls).toEqual(['performBackup', 'close']);
});

test('--json prints one document, before or behind the command', async () => {
  for (const argv of ['--json backup', 'backup --json']) {
    const { code, stdout } = await cli(argv);
    expect([code, JSON.parse(stdout).success]).toEqual([0, true]);
  }
  const list = JSON.parse((await cli('list --json')).stdout);
  expect(list.backups.map(({ filename }: { filename: string }) => filename)).toEqual([secondBackup, firstBackup]);
  expect(list.backups[0].createdAt).toBe('2024-01-15T11:30:00.000Z');
  for (const argv of [
    'status',
    'prune --dry-run',
    `verify ${firstBackup}`,
    `adopt ${firstBackup}`,
    'undo',
    'restore latest',
  ]) {
    expect(JSON.parse((await cli(`${argv} --json`)).stdout)).toBeObject();
  }
});

test('a database file from elsewhere is adopted by its path, and what it holds is said', async () => {
  const { code, stdout, calls } = await cli('adopt ./shop-copy.sqlite');
  expect([code, calls.includes('adoptFile ./shop-copy.sqlite')]).toEqual([0, true]);
  expect(stdout.split('\n').slice(0, 3)).toEqual([
    './shop-copy.sqlite holds 1 table with 3 rows (4.0 KB).',
    'There is no backup of this database to compare it with.',
    `It is now ${firstBackup}, pinned. It is used only by that name: velist-backup restore ${firstBackup}`,
  ]);
});

test('two backups are compared, and the difference is a table', async () => {
  const { code, stdout } = await cli(`diff ${firstBackup} latest`);
  expect([code, stdout.split('\n')]).toEqual([
    0,
    [
      'TABLE   ROWS BEFORE  ROWS AFTER  DIFFERENCE  CHANGE',
      'orders  8,310        0           -8,310      rows',
      'The schema is the same. 878.9 KB in use before, 4.0 KB after.',
      '',
    ],
  ]);
});

test('a backup is pinned, unpinned and noted by its name or as the latest', async () => {
  const pinned = await cli(['pin', 'latest', '--note', 'before the move']);
  expect([pinned.code, pinned.stdout]).toEqual([
    0,
    `${secondBackup} is pinned: retention keeps it, with the note "before the move".\n`,
  ]);
  expect(JSON.parse((await cli(`pin ${firstBackup} --json`)).stdout)).toMatchObject({ pinned: true, note: null });
  expect((await cli(`unpin ${firstBackup}`)).stdout).toBe(`${firstBackup} is not pinned: retention decides.\n`);
  expect((await cli(['note', 'latest', 'of May'])).stdout).toBe(`The note of ${secondBackup}: of May\n`);
  expect((await cli('note latest --remove')).stdout).toBe(`${secondBackup} has no note.\n`);
  for (const argv of ['note latest', 'note latest text --remove', 'pin'])
    expect(await cli(argv)).toMatchObject({ code: 2, stdout: '' });
  for (const argv of [`pin ${missingBackup}`, `unpin ${missingBackup}`, `note ${missingBackup} x`])
    expect(await cli(argv)).toMatchObject({ code: 3, stdout: '' });
});

test('a backup is deleted after a yes, or with --yes, and by nobody who was not asked', async () => {
  const silent = await cli(`delete ${firstBackup}`);
  expect([silent.code, silent.calls.filter((call) => call.startsWith('delete'))]).toEqual([2, []]);
  expect(silent.stderr).toContain('--yes');
  const no = await cli(`delete ${secondBackup}`, { answer: false });
  expect([no.code, no.stdout, no.calls.filter((call) => call.startsWith('delete'))]).toEqual([130, '', []]);
  expect(no.stderr).toStartWith(`${secondBackup}: `);
  expect(no.stderr).toContain('Nothing brings it back.');
  const yes = await cli(`delete ${firstBackup}`, { answer: true });
  expect([yes.code, yes.stdout]).toEqual([0, expect.stringMatching(/^Deleted backup-.*sqlite \(.* ago\)\.\n$/)]);
  expect(yes.calls).toContain('deleteBackup all');
  const there = await cli(`delete ${firstBackup} --target local --yes --json`);
  expect([JSON.parse(there.stdout), there.calls]).toEqual([
    { deleted: firstBackup },
    ['getBackup', 'deleteBackup local', 'close'],
  ]);
  expect((await cli(`delete ${missingBackup} --yes`)).code).toBe(3);
});

test('the log has one line for each run, and can be told to show failures or one kind alone', async () => {
  const service = createFakeService();
  expect((await cli('log', { service })).stdout).toBe('No runs are recorded.\n');
  await cli('backup', { service });
  service.behaviour.runError = { code: 'DISK_FULL', message: 'the disk is full', hint: 'Free some space.' };
  await cli('backup', { service });
  const { code, stdout } = await cli('log', { service });
  expect([code, stdout.split('\n').length]).toEqual([0, 4]);
  expect(stdout).toMatch(/^TIME +RUN +RESULT +TOOK +BY +WHAT\n/);
  expect(stdout).toMatch(/Z +backup +failed +.* the disk is full \(DISK_FULL\)$/m);
  expect(JSON.parse((await cli('log --failed --json', { service })).stdout).runs).toHaveLength(1);
  expect(JSON.parse((await cli('log --kind restore --json', { service })).stdout).runs).toEqual([]);
  for (const argv of ['log --limit 0', 'log --kind dance', 'log --limit many'])
    expect(await cli(argv)).toMatchObject({ code: 2, stdout: '' });
});

test('a setting is shown, changed and set back, and what is wrong is refused', async () => {
  const all = await cli('config');
  expect([all.code, all.calls]).toEqual([0, ['close']]);
  expect(all.stdout).toMatch(/^SETTING +VALUE\n/);
  expect(all.stdout).toMatch(/^retentionCount +\d+$/m);
  const service = createFakeService();
  const { stdout, stderr } = await cli('config retentionCount 30', { service });
  expect([stdout, stderr]).toEqual([
    'retentionCount is 30 now.\n',
    'A running program takes it over when it starts again; saving on its page before that undoes it.\n',
  ]);
  expect((await cli('config', { service })).stdout).toMatch(/^retentionCount +30 +changed; the environment says \d+$/m);
  expect((await cli('config retentionCount', { service })).stdout).toBe('30\n');
  expect((await cli('config maxAgeMinutes automatic', { service })).stdout).toBe('maxAgeMinutes is automatic now.\n');
  // A prefix may be any word.
  expect((await cli('config s3Path true', { service })).stdout).toBe('s3Path is true now.\n');
  expect((await cli('config enabled false', { service })).stdout).toBe('enabled is false now.\n');
  expect(service.getConfig()).toMatchObject({ s3Path: 'true', enabled: false });
  // What it is at present says nothing of what it may be.
  expect((await cli('config s3Path automatic', { service })).stdout).toBe('s3Path is automatic now.\n');
  expect((await cli('config maxAgeMinutes 90', { service })).stdout).toBe('maxAgeMinutes is 90 now.\n');
  expect((await cli('config lossIgnore 7,true', { service })).stdout).toBe('lossIgnore is 7,true now.\n');
  expect((await cli('config enabled on', { service })).stdout).toBe('enabled is true now.\n');
  expect(service.getConfig()).toMatchObject({
    ...{ s3Path: 'automatic', maxAgeMinutes: 90, lossIgnore: ['7', 'true'], enabled: true },
  });
  expect((await cli('config retentionCount --revert', { service })).stdout).not.toContain('30');
  for (const argv of ['config retentioncount 3', 'config --revert', 'config retentionCount 3 --revert'])
    expect(await cli(argv)).toMatchObject({ code: 2, stdout: '' });
});

test('a loss is accepted for once, or its tables are left out from then on', async () => {
  const once = await cli(`accept-loss ${firstBackup}`);
  expect(once.stdout).toBe(`The loss in ${firstBackup} was meant: the alarm ends, and retention goes its way again.\n`);
  const forGood = await cli('accept-loss --ignore-tables');
  expect(forGood.stdout).toContain('From now on nobody is told of what these lose: orders.');
  expect([once.calls, forGood.calls].map(([first]) => first)).toEqual(['acceptLoss false', 'acceptLoss true']);
});

test('the list shows the rows of each backup, what changed since the one before, and a loss', async () => {
  const service = createFakeService();
  const changes = {
    ...{ since: firstBackup, count: 4 },
    tables: [
      { name: 'orders', before: 8_310, after: 0 },
      { name: 'log', before: 10, after: 22 },
      { name: 'tags', before: null, after: 3 },
    ],
  };
  const loss = { before: firstBackup, dayBefore: null, tables: [], usedPages: { before: 9, after: 1 }, accepted: null };
  service.addBackup('backup-2024-01-16T10-30-00-000Z.sqlite', { rows: 1_025, changes, loss });
  const { stdout } = await cli('list', { service });
  expect(stdout.split('\n')[0]).toMatch(/REMARKS +ROWS$/);
  expect(stdout.split('\n')[1]).toMatch(/ LOSS +1,025: orders -8,310, log \+12, tags \+3 \(new\), 1 more$/);
});

test('errors with --json are one document too', async () => {
  for (const [argv, code] of [
    ['restore nothing --json', 'NO_BACKUP'],
    ['restore --json', 'BAD_REQUEST'],
    ['list --nonsense --json', 'BAD_REQUEST'],
  ] as const) {
    expect(JSON.parse((await cli(argv)).stdout).error.code).toBe(code);
  }
});

test('--quiet prints errors only', async () => {
  const done = await cli('backup --quiet');
  expect([done.code, done.stdout, done.stderr]).toEqual([0, '', '']);
  const failed = await cli(`verify ${missingBackup} --quiet`);
  expect([failed.code, failed.stdout]).toEqual([3, '']);
  expect(failed.stderr).toContain(missingBackup);
});

test('wrong use exits 2', async () => {
  const wrong = [
    '--nonsense',
    'list --nonsense',
    'explode',
    'verify',
    'restore',
    'restore latest --online --in-place',
    'restore latest --to x --online',
  ];
  for (const argv of [...wrong, 'restore --at teatime', `restore ${firstBackup} --at 2024-01-15`, 'list extra']) {
    const { code, stdout, calls } = await cli(argv);
    expect([argv, code, stdout]).toEqual([argv, 2, '']);
    expect(calls.filter((call) => call.startsWith('restore'))).toEqual([]);
  }
});

test('--help and --version exit 0', async () => {
  expect(await cli('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('Exit codes') });
  expect(await cli('restore --help')).toMatchObject({ code: 0, stdout: expect.stringContaining('--in-place') });
  expect((await cli('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(await cli('-v')).toEqual(await cli('--version'));
  expect(await cli('-h')).toEqual(await cli('--help'));
  expect(await cli('restore -h')).toEqual(await cli('restore --help'));
});

test('each kind of failure has its exit code', async () => {
  const codes: [ErrorCode, number][] = [
    ['DISK_FULL', 1],
    ['BUSY', 1],
    ['BAD_CONFIG', 2],
    ['GONE', 3],
    ['VERIFY_FAILED', 4],
    ['ABORTED', 130],
  ];
  for (const [code, exitCode] of codes) {
    const failedRun = createFakeService();
    failedRun.behaviour.runError = { code, message: 'it went wrong', hint: 'Do something.' };
    const { code: exit, stderr } = await cli('backup', { service: failedRun });
    expect([code, exit]).toEqual([code, exitCode]);
    expect(stderr).toContain('it went wrong');

    const thrown = createFakeService();
    thrown.behaviour.throws = new BackupError(code, 'it went wrong', { hint: 'Do something.' });
    expect((await cli('status', { service: thrown })).code).toBe(exitCode);
    expect(thrown.calls.at(-1)).toBe('close');
  }
});

test('no such backup exits 3', async () => {
  for (const argv of [
    `verify ${missingBackup}`,
    `restore ${missingBackup}`,
    `adopt ${missingBackup}`,
    'restore --at 2001-01-01',
  ]) {
    expect([argv, (await cli(argv)).code]).toEqual([argv, 3]);
  }
});

test('a damaged backup exits 4', async () => {
  const service = createFakeService();
  service.behaviour.damaged = true;
  const file = join(folder, 'some.sqlite');
  writeFileSync(file, '');
  expect(await cli(`verify ${firstBackup} --full`, { service })).toMatchObject({
    code: 4,
    stdout: expect.stringContaining('row 1 missing'),
  });
  expect(await cli(`verify ${file}`, { service })).toMatchObject({ code: 4 });
  expect(service.calls).toContain('verifyBackup full');
});

test('stored locally but not at S3 exits 5', async () => {
  const service = createFakeService();
  service.behaviour.s3Uploaded = false;
  expect(await cli('backup --json', { service })).toMatchObject({
    code: 5,
    stdout: expect.stringContaining('"s3Uploaded": false'),
  });
});

test('a target is tested: s3 unless told, 1 when something failed, with the policy that the key needs', async () => {
  const good = await cli('test-target');
  expect(good).toMatchObject({ code: 0, calls: ['getStatus', 'testTarget s3', 'close'] });
  expect(good.stdout).toMatch(/^WARNING {2}create-only {2}the server ignores it\n {22}Use one prefix each\.$/m);
  expect(good.stdout).toContain('"arn:aws:s3:::my-backups/backups/database/*"');
  expect((await cli('test-target local')).calls).toContain('testTarget local');

  const service = createFakeService();
  service.behaviour.targetFails = true;
  const { code, stdout } = await cli('test-target s3', { service });
  expect(code).toBe(1);
  expect(stdout).toMatch(/^FAILED {3}private/m);
  expect(stdout).toContain('One check failed.');
  expect(JSON.parse((await cli('test-target --json', { service })).stdout)).toMatchObject({ ok: false, target: 's3' });
  expect(await cli('test-target gcs')).toMatchObject({ code: 2, stdout: '', calls: ['close'] });
});

test('a dry run tells why each stays or goes, here or at S3', async () => {
  const { code, stdout, calls } = await cli('prune --dry-run');
  expect([code, calls]).toEqual([0, ['prune local', 'close']]);
  expect(stdout.split('\n')).toEqual([
    `would keep   ${secondBackup} (newest)`,
    `would remove ${firstBackup} (older than the 1 kept)`,
    '1 kept, 1 to remove',
    '',
  ]);
  expect((await cli('prune --dry-run --target s3')).calls).toEqual(['prune s3', 'close']);
  expect((await cli('prune')).stdout).toStartWith(`removed ${firstBackup}`);
  expect((await cli('prune --target gcs')).code).toBe(2);
});

test('a drill tells what it proved and how long it took, and exits 4 when an assertion does not hold', async () => {
  const good = await cli('drill');
  expect([good.code, good.calls]).toEqual([0, ['drill each', 'close']]);
  expect(good.stdout).toBe(`local: ${secondBackup} was restored and proven in 3.2 s, 2 assertions held.\n`);
  const key = join(folder, 'drill-key.txt');
  writeFileSync(key, 'AGE-SECRET-KEY-1TEST');
  expect((await cli(`drill --from s3 --identity ${key}`)).calls).toContain('drill s3 with AGE-SECRET-KEY-1TEST');
  const service = createFakeService();
  service.behaviour.runError = { code: 'DRILL_FAILED', message: 'SELECT 0: row 1 begins with "0"', hint: 'Look.' };
  const { code, stdout } = await cli('drill', { service });
  expect([code, stdout]).toEqual([4, `local: FAILED, ${secondBackup}: SELECT 0: row 1 begins with "0"\nLook.\n`]);
  expect(JSON.parse((await cli('drill --json', { service })).stdout)).toMatchObject({ ok: false });
});

test('a drill that was refused is told as not begun, and not as a restore that fails', async () => {
  const service = createFakeService();
  service.behaviour.runError = { code: 'BUSY', message: 'another program runs a drill here', hint: 'Try later.' };
  const { code, stdout } = await cli('drill', { service });
  expect([code, stdout]).toEqual([1, 'local: not begun: another program runs a drill here\nTry later.\n']);
  const answer = JSON.parse((await cli('drill --json', { service })).stdout);
  expect(answer).toMatchObject({ ok: false, drills: [{ result: 'refused' }] });
});

test('the doctor exits 1 when somebody should act, and asks the bucket where it is told to', async () => {
  const good = await cli('doctor');
  expect([good.code, good.calls]).toEqual([0, ['getStatus', 'diagnose', 'close']]);
  expect((await cli('doctor --s3')).calls).toContain('diagnose with s3');
  expect((await cli('doctor --targets')).calls).toEqual(['diagnose with s3', 'close']);
  const service = createFakeService();
  service.behaviour.damaged = true;
  const { code, stdout } = await cli('doctor', { service });
  expect(code).toBe(1);
  expect(stdout.split('\n')).toEqual([
    'WARNING  same-disk  all of /srv/app/db is on one disk',
    '                    Why: Disks die.',
    '                    Do:  chmod 700 /srv/app/backups',
    'ok       clock      no backup is dated in the future',
    '',
    '1 finding to act on.',
    '',
  ]);
});

test('an interrupt stops the run and exits 130', async () => {
  const service = createFakeService();
  service.behaviour.until = new Promise(() => {});
  const interrupted = new AbortController();
  const running = cli('backup', { service, signal: interrupted.signal });
  while (!service.calls.includes('performBackup')) await Bun.sleep(1);
  interrupted.abort();
  expect(await running).toMatchObject({ code: 130 });
  expect(service.calls).toEqual(['performBackup', 'stop', 'close']);
});

test('status exits 0 only when the database is protected', async () => {
  const table = [
    ['protected', 0],
    ['running', 0],
    ['too-old', 1],
    ['last-failed', 1],
    ['off', 1],
    ['none', 3],
    ['damaged', 4],
    ['s3-waiting', 5],
  ] as const;
  for (const [verdict, exitCode] of table) {
    const service = createFakeService();
    service.behaviour.verdict = verdict;
    const { code, stdout } = await cli('status', { service });
    expect([verdict, code]).toEqual([verdict, exitCode]);
    expect(stdout).toMatch(/^state +(protected|late|at-risk|unprotected)$/m);
  }
});

test('a restore goes to a new file beside the database unless told', async () => {
  expect(JSON.parse((await cli('restore latest --json')).stdout)).toMatchObject({
    backup: secondBackup,
    mode: 'file',
    path: 'db/dev.restored-2024-01-15T11-30-00-000Z.sqlite',
  });
  expect(JSON.parse((await cli('restore latest --to there.sqlite --json')).stdout)).toMatchObject({
    mode: 'file',
    path: 'there.sqlite',
  });
});

test('a restore over the database shows its plan first', async () => {
  const { stdout, stderr, calls } = await cli(`restore ${firstBackup} --online`);
  expect(calls).toEqual(['findRestorePoint', 'planRestore', 'restore online', 'close']);
  expect(stderr).toContain('ROWS NOW');
  expect(stdout).toContain('undo');
  expect((await cli(`restore ${firstBackup} --in-place`)).calls).toContain('restore offline');
});

test('--at takes the newest backup that is not later', async () => {
  const at = async (time: string) => JSON.parse((await cli(`restore --at ${time} --json`)).stdout).backup;
  expect(await at('2024-01-15T11:00:00Z')).toBe(firstBackup);
  expect(await at('2024-01-15T11:30:00.000Z')).toBe(secondBackup);
  expect(await at('2024-03-01')).toBe(secondBackup);
});

test('--at takes a moment as people say it, and says which that was', async () => {
  const said = async (time: string, ...argv: string[]) => await cli(['restore', '--at', time, ...argv]);
  const { stdout, stderr } = await said('2024-01-15 12:00', '--json');
  const noon = sayMoment(new Date(2024, 0, 15, 12));
  expect(stderr).toContain(`--at 2024-01-15 12:00 is ${noon}.`);
  expect(JSON.parse(stdout).moment).toEqual({ at: new Date(2024, 0, 15, 12).toISOString(), said: noon });
  expect(JSON.parse((await said('16 days ago', '--json')).stdout).backup).toBe(secondBackup);
  expect(JSON.parse((await said('yesterday 18:00', '--json')).stdout).backup).toBe(secondBackup);
  const dry = await said('10:30', '--online', '--dry-run');
  expect(dry.stdout).toStartWith('--at 10:30 is 2024-01-');
  expect(JSON.parse((await said('10:30', '--dry-run', '--json')).stdout).moment.said).toMatch(/ 10:30:00 /);
  const later = await said('2024-02-02 00:00', '--json');
  expect(later.stderr).toContain('The requested moment is in the future');
  const wrong = await said('teatime');
  expect([wrong.code, wrong.stdout]).toEqual([2, '']);
  for (const form of ['2024-01-15T10:30', '10:30', 'yesterday 18:00', '2 hours ago', 'local time'])
    expect(wrong.stderr).toContain(form);
});

test('--target lists one place, --from takes the copy that is there, --identity hands on what the file says', async () => {
  expect((await cli('list --target s3')).calls).toEqual(['getBackups s3', 'close']);
  const key = join(folder, 'key.txt');
  writeFileSync(key, 'AGE-SECRET-KEY-1TEST');
  const restored = await cli(`restore latest --from s3 --to there.sqlite --identity ${key}`);
  expect(restored.calls).toEqual(['findRestorePoint s3', 'restore file from s3 with AGE-SECRET-KEY-1TEST', 'close']);
  expect((await cli(`restore ${firstBackup} --online --from s3`)).calls).toEqual([
    'findRestorePoint s3',
    'planRestore from s3',
    'restore online from s3',
    'close',
  ]);
  expect((await cli('verify latest --from s3')).calls).toEqual([
    'findRestorePoint s3',
    'verifyBackup quick from s3',
    'close',
  ]);
  expect((await cli('restore latest --at 2024-02-01 --from local')).calls).toContain('findRestorePoint local');
  for (const argv of ['list --target moon', 'restore latest --from moon', `restore latest --identity ${folder}/none`])
    expect(await cli(argv)).toMatchObject({ code: 2, stdout: '' });
  expect(await cli(`restore ${missingBackup} --from s3`)).toMatchObject({ code: 3 });
});

test('status says what waits for S3, why, and when it is tried next', async () => {
  const now = Date.parse('2024-02-01T00:00:00Z');
  const service = createFakeService();
  const line = async (s3: FakeService['behaviour']['s3']) => {
    service.behaviour.s3 = { enabled: true, bucket: 'b', path: 'p', stored: 9, ...s3 };
    return /^s3 +(.*)$/m.exec((await cli('status', { service })).stdout)?.[1];
  };
  const error = { code: 'S3_UNREACHABLE', message: 's3.example.com does not answer', hint: 'Wait.' } as const;
  expect(await line({ waiting: 3, nextTryAt: new Date(now + 40_000), error })).toBe(
    'waiting for 3 uploads, next try in 40 s: s3.example.com does not answer; b/p, 9 stored',
  );
  expect(await line({ waiting: 1, nextTryAt: new Date(now - 1) })).toBe('waiting for 1 upload; b/p, 9 stored');
  expect(await line({ listedAt: new Date(now - 60_000) })).toBe('b/p, 9 stored (seen 1 min 0 s ago)');
  expect(await line({ error })).toBe("b/p, 9 stored; can't be used: s3.example.com does not answer");
  expect(await line({ enabled: false })).toBe('off');
});

test('status shows a second folder by its path', async () => {
  const service = createFakeService();
  const about = { bucket: null, path: '/mnt/nas', where: '/mnt/nas', enabled: true, stored: 4 };
  service.behaviour.targets = [
    { ...about, target: 'folder', waiting: 1, nextTryAt: null, error: null, listedAt: null },
  ];
  expect((await cli('status', { service })).stdout).toMatch(/^folder +waiting for 1 copy; \/mnt\/nas, 4 stored$/m);
});

test('a terminal gets colours and lines that fit; a pipe, NO_COLOR and --json do not', async () => {
  const service = createFakeService();
  service.behaviour.damaged = true;
  const on = async (argv: string, options: { color?: boolean; isTTY?: boolean; columns?: number }) => {
    let stdout = '';
    const { color, ...terminal } = options;
    await runCli(argv.split(' '), {
      stdout: { write: (text) => (stdout += text), ...terminal },
      stderr: { write: () => {} },
      signal: new AbortController().signal,
      createService: () => service,
      serve: async () => {},
      ...(color !== undefined && { color }),
    });
    return stdout;
  };
  const doctor = await on('doctor', { isTTY: true, columns: 46 });
  expect(doctor).toContain('\x1b[33mWARNING\x1b[0m  same-disk');
  expect(doctor).toContain('\x1b[32mok\x1b[0m ');
  expect(doctor).toContain('\n                    one disk\n');
  expect(await on('status', { isTTY: true, columns: 100 })).toStartWith('status     \x1b[32mprotected\x1b[0m\n');
  expect(await on('list', { isTTY: true, columns: 100 })).toStartWith('\x1b[1mBACKUP');
  expect(await on('doctor', { color: true })).toContain('\x1b[33mWARNING');
  for (const argv of ['doctor', 'status', 'list']) {
    expect(await on(argv, {})).not.toContain('\x1b');
    expect(await on(argv, { isTTY: true, columns: 80, color: false })).not.toContain('\x1b');
    expect(await on(`${argv} --json`, { isTTY: true, columns: 80 })).not.toContain('\x1b');
  }
});

test('each further target has a line, a test, a listing and a drill of its own', async () => {
  const service = createFakeService();
  const about = {
    bucket: 'eu',
    path: 'p',
    where: 's3://eu/p',
    enabled: true,
    stored: 4,
    nextTryAt: null,
    error: null,
    listedAt: null,
  };
  service.behaviour.targets = [{ ...about, target: 'offsite-eu-west', waiting: 2 }];
  const { stdout } = await cli('status', { service });
  expect(stdout).toMatch(/^offsite-eu-west waiting for 2 uploads; eu\/p, 4 stored$/m);
  expect(stdout).toMatch(/^state {11}protected$/m);
  for (const [argv, call] of [
    ['test-target offsite-eu-west', 'testTarget offsite-eu-west'],
    ['list --target offsite-eu-west', 'getBackups offsite-eu-west'],
    ['prune --target offsite-eu-west', 'prune offsite-eu-west'],
    ['drill --from offsite-eu-west', 'drill offsite-eu-west'],
  ] as const) {
    expect((await cli(argv, { service })).code).toBe(0);
    expect(service.calls).toContain(call);
  }
});

test('claim names whose it was, what it took over, and how long that is spared', async () => {
  const { code, stdout, calls } = await cli('claim --target s3');
  expect([code, calls]).toEqual([0, ['claim s3', 'close']]);
  expect(stdout).toBe(
    'folder storage/backups, which was of shop.sqlite, belongs to this database now, and 2 backups there with it. None of them is removed before 2024-02-08T00:00:00.000Z.\n',
  );
});

test('--if-missing chooses by itself, and serve hands it on', async () => {
  expect(await cli('restore --if-missing --identity key.txt')).toMatchObject({
    code: 0,
    stdout: `Restored ${secondBackup} (s3) to ./db/dev.sqlite, which was missing.\n`,
    calls: ['restoreIfMissing with key.txt', 'close'],
  });
  for (const argv of ['restore latest --if-missing', 'restore --if-missing --to x', 'serve --identity key.txt'])
    expect(await cli(argv)).toMatchObject({ code: 2, stdout: '' });
});

test('latest is verified and no safety backup', async () => {
  const service = createFakeService();
  service.addBackup('backup-2024-01-16T00-00-00-000Z.sqlite', {
    verified: false,
    verification: { state: 'unchecked' },
  });
  service.addBackup('backup-2024-01-17T00-00-00-000Z.sqlite', { safety: true });
  expect(JSON.parse((await cli('restore latest --json', { service })).stdout).backup).toBe(secondBackup);
});

test('the places are handed on', async () => {
  expect((await cli('--database a.sqlite --backups b list')).places).toEqual({
    databasePath: 'a.sqlite',
    backupsPath: 'b',
  });
  expect((await cli('list --database a.sqlite --backups b')).places).toEqual({
    databasePath: 'a.sqlite',
    backupsPath: 'b',
  });
  expect((await cli('serve --database a.sqlite')).places).toMatchObject({ databasePath: 'a.sqlite' });
});

test('a terminal sees a bar, a pipe does not', async () => {
  expect((await cli('backup', { isTTY: true })).stderr).toContain('[############------------]  50%  500 B of 1000 B');
  expect((await cli('backup')).stderr).toBe('');
  expect((await cli('backup --quiet', { isTTY: true })).stderr).toBe('');
});

test('the bar gives way to bytes, speed and time left on a narrow terminal', () => {
  const now = Date.parse('2024-02-01T00:00:10Z');
  const run: RunProgress = {
    ...{ id: '1', kind: 'backup', trigger: 'cli', user: null, backup: null, percent: 50 },
    startedAt: new Date(now - 10_000),
    steps: [{ name: 'copy', state: 'running', bytesDone: 5_000, bytesTotal: 10_000 }],
  };
  const whole = '  50%  4.9 KB of 9.8 KB  500 B/s  10 s left';
  expect(progressLine(run, now)).toBe(`copy       [############------------]${whole}`);
  expect(progressLine(run, now, 64)).toBe(`copy       [####----]${whole}`);
  expect(progressLine(run, now, 55)).toMatch(/^copy {7}\[#+-+\] {2}50% {2}4\.9 KB of 9\.8 KB {2}500 B\/s$/);
  for (let width = 23; width < 90; width++) expect(progressLine(run, now, width).length).toBeLessThanOrEqual(width);
});

test('rows are rescued after a yes, or with --yes, and a dry run only says what would be written', async () => {
  const rescue = `rescue ${firstBackup} --table orders`;
  const dry = await cli(`${rescue} --dry-run`);
  expect([dry.code, dry.calls.includes(`rescue ${firstBackup}`)]).toEqual([0, false]);
  expect(dry.stdout).toContain('2 rows will be written');
  const no = await cli(rescue, { answer: false });
  expect([no.code, no.calls.includes(`rescue ${firstBackup}`)]).toEqual([130, false]);
  for (const given of [await cli(rescue, { answer: true }), await cli(`${rescue} --yes`), await cli(rescue)])
    expect([given.code, given.calls.includes(`rescue ${firstBackup}`)]).toEqual([0, true]);
  expect((await cli('rescue --list')).stdout).toContain(rescueId);
  expect((await cli(`rescue --undo ${rescueId}`)).stdout).toBe('Undone: 2 rows taken back.\n');
  for (const wrong of [`rescue ${firstBackup}`, `${rescue} customers --key 7`, `${rescue} --key 7 --changed`])
    expect([wrong, (await cli(wrong)).code]).toEqual([wrong, 2]);
});
