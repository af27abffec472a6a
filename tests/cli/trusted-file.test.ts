/** What another user of the machine leaves in a folder where a command is typed. Giving files away needs root. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { refusal, scratchFolders } from '../support/scratch.ts';
import { readTrustedFile } from '../../src/config/trusted-file.ts';
import { node26 } from '../support/runtimes.ts';

const newFolder = scratchFolders();
const isRoot = process.getuid?.() === 0;
const OTHER = 65_534;
const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const main = at('src/cli/main.ts');
const runtimes = {
  node: [node26],
  bun: [process.execPath, '--config=/dev/null'],
  'bun without .env': [process.execPath, '--config=/dev/null', '--no-env-file'],
};

function run([program = '', ...args]: readonly string[], cwd: string, ...argv: readonly string[]) {
  return spawnSync(program, [...args, main, ...argv], { cwd, env: { PATH: process.env['PATH'] }, encoding: 'utf8' });
}

/** Makes one with `text` in a folder of root's, and spoils it. */
function file(spoil: (path: string, folder: string) => void): string {
  const folder = newFolder();
  const path = join(folder, 'x.ts');
  writeFileSync(path, 'text', { mode: 0o600 });
  spoil(path, folder);
  return path;
}

test.skipIf(!isRoot)('a file counts only if nobody else can have written it', async () => {
  const read = (path: string, isRun: boolean) => readTrustedFile(path, { isRun, otherwise: 'Else leave it.' });
  const other = file((path) => chownSync(path, OTHER, OTHER));
  const foreign: Readonly<Record<string, [why: RegExp, path: string, onlyIfRun?: true]>> = {
    'of another user': [/x\.ts belongs to user 65534, who is neither user 0 nor root/, other],
    'that all can write': [/every user of this machine can write/, file((path) => chmodSync(path, 0o646))],
    'that a group can write': [
      /the group 65534 can write/,
      file((path) => {
        chownSync(path, 0, OTHER);
        chmodSync(path, 0o660);
      }),
    ],
    'that another links to': [
      /x\.ts belongs to user 65534/,
      file((path, folder) => {
        renameSync(path, join(folder, 'ours.ts'));
        symlinkSync('ours.ts', path);
        lchownSync(path, OTHER, OTHER);
      }),
    ],
    'that leads to one of another': [
      /x\.ts belongs to user 65534/,
      file((path) => {
        renameSync(path, `${path}.ours`);
        symlinkSync(other, path);
      }),
    ],
    'in a folder of another': [/test-\w+ belongs to user/, file((_, folder) => chownSync(folder, OTHER, OTHER)), true],
    'in a folder like /tmp': [/can write to \S+test-\w+$/, file((_, folder) => chmodSync(folder, 0o1777)), true],
  };
  for (const [what, [why, path, onlyIfRun]] of Object.entries(foreign)) {
    const { code, message, hint } = await refusal(() => read(path, true));
    expect([what, code, message]).toEqual([what, 'BAD_CONFIG', expect.stringMatching(why)]);
    expect(hint).toMatch(/If it is yours, or contains what you want: `ch(own|mod) .+`\. Else leave it\./);
    if (onlyIfRun) expect([what, read(path, false)]).toEqual([what, 'text']);
    else expect([what, (await refusal(() => read(path, false))).code]).toEqual([what, 'BAD_CONFIG']);
  }
  const own = {
    'of this user': file(() => {}),
    'that its own group may write': file((path) => chmodSync(path, 0o664)),
    'through an own link': file((path, folder) => {
      renameSync(path, join(folder, 'ours.ts'));
      symlinkSync('ours.ts', path);
    }),
  };
  for (const [what, path] of Object.entries(own)) expect([what, read(path, true)]).toEqual([what, 'text']);
});

test.skipIf(!isRoot)('a file that the user named is read whoever it belongs to, unless all can write it', async () => {
  const named = { isNamed: true, isRun: true, otherwise: 'Else name another.' };
  const path = file((one, folder) => {
    chownSync(one, OTHER, OTHER);
    chmodSync(folder, 0o1777);
  });
  expect(readTrustedFile(path, named)).toBe('text');
  chmodSync(path, 0o666);
  expect((await refusal(() => readTrustedFile(path, named))).hint).toContain(
    `\`chmod o-w ${path}\`. Else name another.`,
  );
});

for (const [name, runtime] of Object.entries(runtimes)) {
  test.skipIf(!isRoot)(
    `a configuration of another user is run by no command, on ${name}`,
    () => {
      const folder = newFolder();
      chmodSync(folder, 0o1777);
      const ran = join(folder, 'ran');
      for (const ending of ['ts', 'js', 'mjs']) {
        const config = join(folder, `velist-backup.config.${ending}`);
        writeFileSync(
          config,
          `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(ran)}, ''); export default { path: './a.sqlite' };`,
        );
        chownSync(config, OTHER, OTHER);
        for (const argv of ending === 'ts' ? [['list'], ['backup'], ['status', '--json'], ['serve']] : [['doctor']]) {
          const { status, stdout, stderr } = run(runtime, folder, ...argv);
          expect([argv, status, stdout + stderr]).toEqual([argv, 2, expect.stringContaining('belongs to user 65534')]);
        }
        expect(run(runtime, folder, 'completion', '--names').stdout).toBe('');
        expect(existsSync(ran)).toBe(false);
        renameSync(config, join(folder, 'consented.mjs'));
        mkdirSync(join(folder, 'storage/backups'), { recursive: true });
        expect(run(runtime, folder, 'list', '--config', 'consented.mjs').status).toBe(0);
        expect(existsSync(ran)).toBe(true);
        spawnSync('rm', ['-r', ran, join(folder, 'storage')]);
      }
    },
    180_000,
  );
}

test.skipIf(!isRoot)(
  '.env of another user is not obeyed, and passing over it is an error',
  () => {
    const folder = newFolder();
    const chosen = join(folder, 'chosen');
    mkdirSync(join(folder, 'storage/backups'), { recursive: true });
    for (const name of ['.env', '.env.local', '.env.production']) {
      writeFileSync(join(folder, name), `BACKUP_LOCAL_PATH=${chosen}\nBACKUP_S3_ENABLED=no\n`);
      chownSync(join(folder, name), OTHER, OTHER);
      for (const [runtime, argv] of Object.entries(runtimes)) {
        const { status, stderr } = run(argv, folder, 'list');
        const isRead = runtime === 'bun' || (runtime === 'node' && name === '.env');
        expect([name, runtime, status]).toEqual([name, runtime, isRead ? 2 : 0]);
        if (isRead) expect(stderr).toContain(`${name} was not used: ${name} belongs to user 65534`);
        expect(existsSync(chosen)).toBe(false);
      }
      renameSync(join(folder, name), join(folder, 'gone'));
    }
  },
  180_000,
);

test.skipIf(!isRoot)('where the running program belongs to another user, so may its files', () => {
  const folder = newFolder();
  mkdirSync(join(folder, 'app'));
  const app = join(folder, 'app/app.mjs');
  writeFileSync(
    app,
    `import { backupService } from '${at('src/index.ts')}'; console.log(backupService.getConfig().localPath);`,
  );
  writeFileSync(join(folder, 'app/.env'), 'BACKUP_LOCAL_PATH=./chosen\n');
  for (const name of readdirSync(join(folder, 'app'))) chownSync(join(folder, 'app', name), OTHER, OTHER);
  const { stdout, stderr } = spawnSync(runtimes.node[0] ?? '', [app], { cwd: join(folder, 'app'), encoding: 'utf8' });
  expect([stdout, stderr]).toEqual(['./chosen\n', '']);
});
