/** Completion, manual page, examples and schema follow the definitions; what can be tried in the real program is. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { createFakeService } from '../http/fake-service.ts';
import { areMissing } from '../support/programs.ts';
import { ask, change, makeDatabase, openShop } from '../support/scratch.ts';
import { runCli } from '../../src/cli/program.ts';
import { LocalStream } from '../../src/engine/replication/local-stream.ts';
import { inTurns } from '../../src/engine/replication/rest.ts';
import { verbs as texts } from '../../src/cli/text/help.ts';
import { answers } from '../../src/cli/json-schemas.ts';

const folder = mkdtempSync(join(tmpdir(), 'velist-cli-words-'));
const mainPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const environment = {
  PATH: `${folder}/bin:${process.env['PATH'] ?? ''}`,
  DATABASE_URL: join(folder, 'shop.sqlite'),
  BACKUP_LOCAL_PATH: join(folder, 'backups'),
  BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
};
let bash: string;
let man: string;
let verbs: string[];
let backup: string;

const program = (...argv: string[]) =>
  spawnSync('velist-backup', argv, { cwd: folder, env: environment, encoding: 'utf8' });

beforeAll(() => {
  mkdirSync(join(folder, 'bin'));
  const shim = join(folder, 'bin/velist-backup');
  writeFileSync(shim, `#!/bin/sh\nexec '${process.execPath}' --config=/dev/null --no-env-file '${mainPath}' "$@"\n`);
  chmodSync(shim, 0o755);
  makeDatabase(join(folder, 'shop.sqlite'));
  backup = JSON.parse(program('backup', '--json').stdout).filename;
  bash = program('completion', 'bash').stdout;
  man = program('man').stdout;
  verbs = [...bash.matchAll(/^ {6}([a-z-]+)\) COMPREPLY/gm)].map(([, verb = '']) => verb);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash offers at the end of this line. */
function offered(line: string): string[] {
  const words = line.split(' ');
  const script = `${bash}
    compopt() { :; }
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
    _velist_backup; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: folder, env: environment, encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
}

test('bash offers verbs, options, values, files and the names of backups', () => {
  expect(offered('velist-backup ver')).toEqual(['verify']);
  expect(offered('velist-backup ')).toEqual(expect.arrayContaining(['backup', 'restore', 'kit', 'completion']));
  expect(offered('velist-backup restore --i')).toEqual(['--in-place', '--if-missing', '--identity']);
  expect(offered('velist-backup restore --js')).toEqual(['--json']);
  expect(offered('velist-backup list --target ')).toEqual(['local', 's3']);
  expect(offered('velist-backup --database x list --target s')).toEqual(['s3']);
  expect(offered('velist-backup --database sh')).toEqual(['shop.sqlite']);
  expect(offered('velist-backup --backups ba')).toEqual(['backups']);
  expect(offered('velist-backup restore latest --to sh')).toEqual(['shop.sqlite']);
  expect(offered('velist-backup restore --at ')).toEqual([]);
  expect(offered('velist-backup test-target ')).toEqual(['s3', 'local']);
  expect(offered('velist-backup completion z')).toEqual(['zsh']);
  expect(offered('velist-backup verify backup-')).toEqual([backup]);
  expect(offered('velist-backup adopt ')).toEqual([backup]);
});

test('list says where it looked; a folder that is not there is no success', () => {
  const full = program('list');
  expect([full.status, full.stdout]).toEqual([
    0,
    expect.stringMatching(/^BACKUP +AGE +SIZE .*\n.*\n1 backup in .*\n$/),
  ]);
  mkdirSync(join(folder, 'empty'));
  const empty = program('list', '--backups', 'empty');
  expect([empty.status, empty.stdout, empty.stderr]).toEqual([0, 'No backups in empty.\n', '']);
  const missing = program('list', '--backups', 'typo', '--quiet');
  expect([missing.status, missing.stdout]).toEqual([3, '']);
  expect(missing.stderr).toStartWith('There is no folder typo.\nIf backups should be there, check BACKUP_LOCAL_PATH');
  const json = program('list', '--backups', 'typo', '--json');
  expect([json.status, JSON.parse(json.stdout)]).toEqual([3, { backups: [] }]);
}, 180_000);

/** What zsh or fish offers at the end of this line; null where it is not installed. */
function offeredBy(shell: 'zsh' | 'fish', line: string): string[] | null {
  if (areMissing([shell])) return null;
  const script = program('completion', shell).stdout;
  const words = line.split(' ');
  // What zsh has within a completion, as far as the script uses it.
  const within = `
    compdef() { :; }; _files() { print FILES; }; compadd() { print -l -- "\${@[$@[(i)--]+1,-1]}"; }
    _describe() { local name=\${@[-1]}; print -l -- "\${(@)\${(@P)name}%%:*}"; }
    ${script}
    words=(${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length}; PREFIX='${words.at(-1)}'
    _velist_backup`;
  const args =
    shell === 'zsh'
      ? ['-fc', within]
      : ['--no-config', '-c', `${script}\ncomplete -C '${line}' | string split -f1 \\t`];
  const { stdout, stderr } = spawnSync(shell, args, { cwd: folder, env: environment, encoding: 'utf8' });
  expect([shell, line, stderr]).toEqual([shell, line, '']);
  const found = stdout.split('\n').filter((word) => word !== '');
  return found.filter((word) => word.startsWith(words.at(-1) ?? ''));
}

test('zsh and fish offer verbs, options, values and the names of backups', () => {
  for (const shell of ['zsh', 'fish'] as const) {
    const verbsOffered = offeredBy(shell, 'velist-backup ');
    if (verbsOffered === null) continue;
    expect([shell, verbsOffered]).toEqual([shell, expect.arrayContaining(['backup', 'restore', 'kit', 'completion'])]);
    expect(offeredBy(shell, 'velist-backup restore --i')?.sort()).toEqual(['--identity', '--if-missing', '--in-place']);
    const all = offeredBy(shell, 'velist-backup restore --') ?? [];
    expect([shell, all.filter((word, at) => all.indexOf(word) < at)]).toEqual([shell, []]);
    expect(offeredBy(shell, 'velist-backup completion z')).toEqual(['zsh']);
    expect(offeredBy(shell, 'velist-backup list --target s')).toEqual(['s3']);
    expect(offeredBy(shell, 'velist-backup verify backup-')).toEqual([backup]);
  }
}, 180_000);

test('zsh and fish are told every verb and every option, and read their script', () => {
  expect(verbs.length).toBeGreaterThan(14);
  const words = new Set(verbs.flatMap((verb) => [verb, ...offered(`velist-backup ${verb} --`)]));
  for (const shell of ['zsh', 'fish']) {
    const { stdout } = program('completion', shell);
    for (const word of words)
      expect([shell, word, stdout.includes(word.replace(/^--/, shell === 'fish' ? '-l ' : '--'))]).toEqual([
        shell,
        word,
        true,
      ]);
    const file = join(folder, `completion.${shell}`);
    writeFileSync(file, stdout);
    if (areMissing([shell])) continue;
    const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    expect([shell, status, stderr]).toEqual([shell, 0, '']);
  }
  expect(program('completion').status).toBe(2);
  expect(program('completion', 'tcsh').status).toBe(2);
});

test('the manual page has every verb, option and exit code, and groff has nothing to say about it', () => {
  for (const verb of verbs) {
    expect(man).toContain(`.SS ${verb.replaceAll('-', '\\-')}`);
    for (const option of offered(`velist-backup ${verb} --`)) expect(man).toContain(option.replaceAll('-', '\\-'));
  }
  for (const code of [0, 1, 2, 3, 4, 5, 130]) expect(man).toContain(`.B ${code}\n`);
  if (areMissing(['groff'])) return;
  const { stdout, stderr } = spawnSync('groff', ['-ww', '-man', '-Tutf8'], { input: man, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(stdout).toContain('velist-backup restore --if-missing');
});

test('every verb has examples, and the program understands each of them', async () => {
  expect(Object.keys(texts).sort()).toEqual(verbs.filter((verb) => verb !== 'help').sort());
  writeFileSync(join(folder, 'key.txt'), 'AGE-SECRET-KEY-1TEST');
  for (const [verb, { examples: shown }] of Object.entries(texts)) {
    expect([verb, program(verb, '--help').stdout]).toEqual([verb, expect.stringContaining(shown[0]?.[0] ?? 'none')]);
    for (const [command] of shown) {
      const typed = command.replace(/ >.*/, '').replace(/(key\.txt|kit\.md)/, `${folder}/$1`);
      const argv = [...typed.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word).slice(1);
      let said = '';
      const write = (text: string) => (said += text);
      const code = await runCli(argv, {
        ...{ stdout: { write }, stderr: { write }, signal: new AbortController().signal },
        createService: () => createFakeService(),
        serve: async () => {},
      });
      expect([command, code === 2 ? said : code]).toEqual([
        command,
        verb === 'verify' && argv[1] === 'old.sqlite' ? 3 : 0,
      ]);
    }
  }
}, 180_000);

test('what --json prints is what the schema says, by verb, and nothing that it does not say', async () => {
  const published: { $defs: Record<string, z.core.JSONSchema.JSONSchema> } = JSON.parse(program('schema').stdout);
  expect(Object.keys(published.$defs)).toEqual(Object.keys(answers));
  const place = mkdtempSync(join(folder, 'json-'));
  await using shop = openShop(place);
  const seen = new Set<string>();
  const check = async (name: keyof typeof answers, argv: string) => {
    let stdout = '';
    await runCli([...argv.split(' '), '--json'], {
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: () => {} },
      signal: new AbortController().signal,
      createService: () => shop.again(),
      serve: async () => {},
    });
    const document: unknown = JSON.parse(stdout);
    expect([argv, z.fromJSONSchema(published.$defs[name] ?? false).safeParse(document).error?.issues]).toEqual([
      argv,
      undefined,
    ]);
    expect([argv, answers[name].parse(document)]).toEqual([argv, document as never]);
    seen.add(name);
    return document;
  };
  const made = (await check('backup', 'backup')) as { filename: string };
  await check('list', 'list');
  await check('verify', 'verify latest --full');
  await check('verify', `verify ${join(shop.backups, made.filename)}`);
  await check('restore', `restore latest --to ${join(place, 'copy.sqlite')}`);
  await check('restore', 'restore latest --in-place');
  await check('restore', 'restore --if-missing');
  await check('undo', 'undo');
  copyFileSync(join(shop.backups, made.filename), join(shop.backups, 'backup-2020-01-01T00-00-00-000Z.sqlite'));
  await check('list', 'list');
  await check('adopt', 'adopt backup-2020-01-01T00-00-00-000Z.sqlite');
  await check('pin', 'pin latest --note kept');
  await check('unpin', `unpin ${made.filename}`);
  await check('note', 'note latest --remove');
  await check('delete', 'delete backup-2020-01-01T00-00-00-000Z.sqlite --yes');
  change(shop.databasePath, 'DELETE FROM notes');
  const emptied = (await check('backup', 'backup')) as { filename: string };
  await check('diff', `diff ${made.filename} ${emptied.filename}`);
  await check('status', 'status');
  await check('accept-loss', 'accept-loss --ignore-tables');
  await check('restore', `restore ${made.filename} --in-place`);
  change(shop.databasePath, 'DELETE FROM notes WHERE id <= 3');
  const rescue = `rescue ${made.filename} --table notes`;
  await check('rescue', `${rescue} --dry-run`);
  const { rescue: rescued } = (await check('rescue', `${rescue} --yes`)) as { rescue: { id: string } };
  await check('rescue', `rescue --undo ${rescued.id}`);
  await check('rescue', `${rescue} --yes`);
  await check('rescue', 'rescue --list');
  await check('backup', 'backup');
  await check('claim', 'claim');
  await check('prune', 'prune --dry-run');
  await check('test-target', 'test-target local');
  await check('drill', 'drill');
  await check('doctor', 'doctor');
  await check('status', 'status');
  await check('kit', 'kit');
  await check('audit', 'audit');
  await check('log', 'log');
  await check('config', 'config');
  await check('config', 'config retentionCount 30');
  await check('error', 'verify nothing');
  rmSync(shop.databasePath);
  rmSync(`${shop.databasePath}-wal`, { force: true });
  rmSync(`${shop.databasePath}-shm`, { force: true });
  await check('restore', 'restore --if-missing');
  await makeStream(join(shop.backups, 'continuous'), readFileSync(join(shop.backups, made.filename)));
  await check('mark', 'mark now');
  await check('moments', 'moments');
  await check('pause', 'pause');
  await check('resume', 'resume');
  await check('restore', `restore --at now --to ${join(place, 'moment.sqlite')}`);
  await check('backup', `backup --database ${dirname(shop.databasePath)}`);
  expect(ask(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  expect([...seen].sort()).toEqual(Object.keys(answers).sort());
}, 180_000);

/** A stream of one moment. */
async function makeStream(folder: string, content: Buffer): Promise<void> {
  const stream = new LocalStream(folder);
  stream.prepare();
  const pageSize = content.readUInt16BE(16);
  const commitPages = content.length / pageSize;
  const span = { minTxid: 1n, maxTxid: 1n, at: new Date(), preChecksum: null, nodeId: 0n };
  const proof = { stateBefore: 0n, stateAfter: 0n, tag: 0, walOffset: 0, walBytes: 0, salts: [0, 0] as const };
  const written = stream.write(0, { pageSize, commitPages, ...span, ...proof }, function* (encoder) {
    for (let page = 1; page <= commitPages; page++)
      yield encoder.page(page, content.subarray((page - 1) * pageSize, page * pageSize));
  });
  await stream.add(await inTurns(written));
}
