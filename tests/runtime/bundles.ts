/**
 * An app that has the package in its bundle, in a folder where nothing else is: page and jobs must be there, and no job
 * may start the app a second time. The app notes each of its starts.
 */
import { describe, expect, test } from 'bun:test';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase } from '../support/scratch.ts';
import { complaints, type Ended, mustRun, root, run } from './run.ts';
import { node22, node26 } from '../support/runtimes.ts';

const PATIENCE_MS = 600_000;
const bun = process.execPath;
const esbuild = join(root, 'node_modules/.bin/esbuild');

const app = `
  import { appendFileSync } from 'node:fs';
  import { backupService } from 'velist-backup';
  import { backupFetch } from 'velist-backup/http';

  async function main() {
    appendFileSync('starts.txt', 'started\\n');
    if (process.env.LAUNCHER) process.execPath = process.env.LAUNCHER;
    const made = await backupService.performBackup();
    const out = { made: made.success, error: made.error?.code };
    if (made.success) {
      out.verified = (await backupService.verifyBackup(made.filename, { full: true })).verification.state;
      await backupService.restore(made.filename, { mode: 'file', to: 'copy.sqlite' });
    }
    const handler = backupFetch(backupService, { authorize: () => true });
    const ask = (path) => handler(new Request('http://localhost/backup/' + path));
    const page = await (await ask('')).text();
    const script = await ask(/src="\\.\\/(assets[^"]+\\.js)"/.exec(page)[1]);
    out.page = [page.includes('<title>'), script.status];
    // What the page fetches when a dialog is opened: a script and its style sheet.
    for (const name of new Set((await script.text()).match(/on-demand-[\\w-]+\\.(?:js|css)/g)))
      out.page.push((await ask('assets/' + name)).status);
    await backupService.close();
    console.log(JSON.stringify(out));
  }
  main();
`;
const works = { made: true, verified: 'verified', page: [true, 200, 200, 200] };
const refused = { made: false, error: 'UNSUPPORTED', page: [true, 200, 200, 200] };

interface Place {
  readonly installed: string;
  readonly newFolder: () => string;
}

/** @param place where the package is installed; asked when the tests run. */
export function bundledApps(place: () => Place): void {
  /** The app's source, beside the package. */
  async function source(text = app): Promise<string> {
    const folder = mkdtempSync(join(place().installed, 'bundled-'));
    await Bun.write(join(folder, 'app.js'), text);
    return folder;
  }

  async function started(
    program: string,
    args: readonly string[],
    env: Record<string, string> = {},
  ): Promise<Ended & { starts: number; preloads: number; folder: string }> {
    const folder = place().newFolder();
    makeDatabase(join(folder, 'app.sqlite'), { rows: 50 });
    // What Bun reads where it starts; the app may, its jobs must not.
    await Bun.write(join(folder, 'preload.js'), "require('node:fs').appendFileSync('preloads.txt', '.')");
    await Bun.write(join(folder, 'bunfig.toml'), 'preload = ["./preload.js"]');
    const ended = await run(program, args, { cwd: folder, env: { DATABASE_URL: 'app.sqlite', ...env } });
    const starts = readFileSync(join(folder, 'starts.txt'), 'utf8').trim().split('\n').length;
    const preloads = existsSync(join(folder, 'preloads.txt')) ? readFileSync(join(folder, 'preloads.txt')).length : 0;
    return { ...ended, starts, preloads, folder };
  }

  async function mustWork(program: string, args: readonly string[]): Promise<void> {
    const ended = await started(program, args);
    expect([complaints(ended), ended.code]).toEqual(['', 0]);
    expect(JSON.parse(ended.stdout.split('\n').at(-2) ?? '')).toEqual(works);
    expect(ended.starts).toBe(1);
    expect(ended.preloads).toBe([node22, node26].includes(program) ? 0 : 1);
    expect(ask(join(ended.folder, 'copy.sqlite'), 'SELECT count(*) FROM notes')).toBe(50);
  }

  async function mustRefuse(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<void> {
    const ended = await started(program, args, env);
    expect(JSON.parse(ended.stdout.split('\n').at(-2) ?? '')).toEqual(refused);
    expect(ended.stderr).toContain(
      'with node or bun, compile it with bun build --compile, or run `velist-backup serve`',
    );
    expect(ended.starts).toBe(1);
  }

  describe('an app in a bundle', () => {
    test(
      'of bun build, on Bun',
      async () => {
        const folder = await source();
        await mustRun(bun, ['build', '--target=bun', 'app.js', '--outfile=out.js'], folder);
        await mustWork(bun, [join(folder, 'out.js')]);
      },
      PATIENCE_MS,
    );

    for (const [format, file] of [
      ['esm', 'out.mjs'],
      ['cjs', 'out.cjs'],
    ] as const)
      test(
        `of esbuild as ${format}, on both Nodes`,
        async () => {
          const folder = await source();
          const flags = ['--bundle', '--minify', '--platform=node', `--format=${format}`, '--log-level=error'];
          await mustRun(esbuild, ['app.js', ...flags, `--outfile=${file}`], folder);
          await mustWork(node22, [join(folder, file)]);
          await mustWork(node26, [join(folder, file)]);
        },
        PATIENCE_MS,
      );

    test(
      'of bun build --compile, a binary of its own',
      async () => {
        const folder = await source();
        await mustRun(bun, ['build', '--compile', '--minify', 'app.js', '--outfile=app'], folder);
        await mustWork(join(folder, 'app'), []);
      },
      PATIENCE_MS,
    );

    test(
      'in a binary of Node, which can run no job, is told so and never started again',
      async () => {
        const folder = await source();
        const flags = ['--bundle', '--platform=node', '--format=cjs', '--log-level=error'];
        await mustRun(esbuild, ['app.js', ...flags, '--outfile=out.cjs'], folder);
        await Bun.write(join(folder, 'sea.json'), JSON.stringify({ main: 'out.cjs', output: 'node-app' }));
        await mustRun(node26, ['--build-sea', 'sea.json'], folder);
        await mustRefuse(join(folder, 'node-app'), []);
        await mustRefuse(node22, [join(folder, 'out.cjs')], { LAUNCHER: join(folder, 'some-app') });
      },
      PATIENCE_MS,
    );

    test(
      "that was started in a job's place all the same goes no further",
      async () => {
        const folder = await source();
        await mustRun(bun, ['build', '--target=bun', 'app.js', '--outfile=out.js'], folder);
        const launcher = join(folder, 'launcher');
        await Bun.write(launcher, `#!/bin/sh\nexec ${bun} ${folder}/out.js "$@"\n`);
        await mustRun('chmod', ['+x', launcher], folder);
        const { stdout, starts } = await started(bun, [join(folder, 'out.js')], { LAUNCHER: launcher });
        expect([JSON.parse(stdout.split('\n').at(-2) ?? '').error, starts]).toEqual(['JOB_DIED', 2]);
      },
      PATIENCE_MS,
    );

    test(
      'names the library that no bundler follows when copies are to be encrypted, and finds it where it is installed',
      async () => {
        const folder = await source();
        const flags = ['--bundle', '--platform=node', '--format=cjs', '--log-level=error'];
        await mustRun(esbuild, ['app.js', ...flags, '--outfile=out.cjs'], folder);
        const env = {
          ...{ BACKUP_S3_ENABLED: 'true', S3_BUCKET: 'none', S3_ENDPOINT: 'http://127.0.0.1:9' },
          BACKUP_ENCRYPTION_RECIPIENT: 'age1none',
        };
        const alone = place().newFolder();
        cpSync(join(folder, 'out.cjs'), join(alone, 'out.cjs'));
        expect((await started(node22, [join(alone, 'out.cjs')], env)).stderr).toContain(
          'age-encryption is missing; install it where the app runs, or mark velist-backup as external',
        );
        mkdirSync(join(alone, 'node_modules'));
        symlinkSync(join(root, 'node_modules/age-encryption'), join(alone, 'node_modules/age-encryption'));
        expect((await started(node22, [join(alone, 'out.cjs')], env)).stderr).toContain(
          'age1none…) is not an age public key',
        );
      },
      PATIENCE_MS,
    );

    test(
      'of our sources, from which the build has made no package, says what to do',
      async () => {
        const index = JSON.stringify(join(root, 'src/index.ts'));
        const folder = await source(`
          import { appendFileSync } from 'node:fs';
          import { backupService } from ${index};
          appendFileSync('starts.txt', 'started\\n');
          const { error } = await backupService.performBackup();
          await backupService.close();
          console.log(error.code, error.hint);`);
        await mustRun(bun, ['build', '--target=bun', 'app.js', '--outfile=out.js'], folder);
        const { stdout, starts } = await started(bun, [join(folder, 'out.js')]);
        expect(stdout).toContain('UNSUPPORTED Bundle the package velist-backup as npm installs it, or keep it out');
        expect(starts).toBe(1);
      },
      PATIENCE_MS,
    );
  });
}
