/**
 * What docs/deployment.md and the repository's Dockerfile tell an engine to do, done without one: the lines are run as they
 * stand there, below a folder. The files for Compose and Kubernetes are read.
 */
import { afterEach, expect, test } from 'bun:test';
import { YAML } from 'bun';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDatabase } from '../support/scratch.ts';
import { begin, end, mustRun, root, run } from './run.ts';
import { node22 } from '../support/runtimes.ts';

const PATIENCE_MS = 600_000;

interface Place {
  readonly tarball: string;
  /** Where the package was built: a copy of the sources, with what was built. */
  readonly built: string;
  readonly newFolder: () => string;
}

/** @param place asked when the tests run. */
export function deployments(place: () => Place): void {
  const running: ChildProcess[] = [];

  afterEach(async () => {
    for (const child of running.splice(0)) await end(child);
  });

  test.each(['docs/deployment.md', 'Dockerfile'])(
    'the container of %s: what it runs installs and serves the package, refuses to be open, is healthy, and ends by SIGTERM',
    async (file) => {
      const folder = place().newFolder();
      for (const name of ['data', 'backups', 'global']) mkdirSync(join(folder, name));
      makeDatabase(join(folder, 'data/app.sqlite'));
      const tarball = join(folder, 'packed.tgz');
      copyFileSync(place().tarball, tarball);
      const install = `--global --prefix ${folder}/global --no-audit --no-fund ${tarball}`;
      // Its folders at the root are below ours here, and its user is the one that we are.
      const here = (text: string) =>
        text
          .replaceAll(/(?<![\w.])\/(data|backups)\b/g, `${folder}/$1`)
          .replace(/--global (velist-backup|\/tmp\/velist-backup-\*\.tgz)/, install)
          .replace('/tmp/velist-backup-*.tgz', tarball)
          .replace('mkdir ', 'mkdir -p ')
          .replace('chown node', `chown ${process.getuid?.()}`);
      const variables: Record<string, string> = {};
      let command: string[] = [];
      let healthCheck: string[] = [];
      for (const line of lastStageOf(file)) {
        const [, word, rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
        if (word === 'RUN') await mustRun('sh', ['-c', here(rest)], folder, process.env);
        else if (word === 'ENV')
          for (const pair of rest.split(' ')) variables[pair.split('=')[0] ?? ''] = pair.split('=')[1] ?? '';
        else if (word === 'CMD') command = JSON.parse(rest);
        else if (word === 'HEALTHCHECK') healthCheck = JSON.parse(rest.replace(/^.* CMD /, ''));
        else expect([line, ['FROM', 'USER', 'EXPOSE', 'COPY'].includes(word ?? '')]).toEqual([line, true]);
      }
      for (const [name, value] of Object.entries(variables)) variables[name] = here(value);
      variables['PATH'] = `${folder}/global/bin:${dirname(node22)}:${process.env['PATH']}`;
      const open = await run('env', command, { cwd: folder, env: variables });
      expect([open.code, open.stderr]).toEqual([2, expect.stringContaining('BACKUP_ADMIN_PASSWORD')]);

      // On this machine alone, for the test.
      const token = 'a token of sixteen and more'.replaceAll(' ', '-');
      const env = { ...variables, HOST: '127.0.0.1', PORT: '0', BACKUP_API_TOKEN: token };
      const page = await begin(command, { cwd: folder, env }, { ready: /page is at (\S+)/, running });
      expect((await fetch(`${page}/api/status`)).status).toBe(401);
      const made = await fetch(`${page}/now`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
      expect(await made.json()).toMatchObject({ success: true });
      expect(await (await fetch(`${page}/health`)).json()).toEqual({ status: 'ok' });
      const health = (port: string) => run('env', healthCheck, { cwd: folder, env: { ...env, PORT: port } });
      expect((await health(new URL(page).port)).code).toBe(0);
      expect((await health('1')).code).toBe(1);
      expect(readdirSync(join(folder, 'backups/files')).filter((name) => name.endsWith('.sqlite'))).not.toEqual([]);
      for (const child of running.splice(0)) expect(await end(child)).toBe(0);
    },
    PATIENCE_MS,
  );

  test('the compose file and the pod of the documentation can be read, and share what they must', () => {
    const [compose, pod] = [...readDocument('docs/deployment.md').matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(
      ([, text = '']) => YAML.parse(text),
    ) as [Compose, Pod];
    const { restore, app, backup } = compose.services;
    for (const service of [restore, app, backup]) expect(service?.volumes).toContain('data:/data');
    for (const service of [restore, backup]) expect(service?.volumes).toContain('backups:/backups');
    for (const secret of backup?.secrets ?? []) expect(Object.keys(compose.secrets)).toContain(secret);
    for (const [name, value] of Object.entries(backup?.environment ?? {}))
      if (name.endsWith('_FILE')) expect(backup?.secrets).toContain(value.replace('/run/secrets/', ''));

    const { initContainers, containers } = pod.spec.template.spec;
    const claims = pod.spec.volumeClaimTemplates.map(({ metadata }) => metadata.name);
    for (const { volumeMounts } of [...initContainers, ...containers]) {
      expect(volumeMounts).toContainEqual({ name: 'data', mountPath: '/data' });
      for (const { name } of volumeMounts) expect(claims).toContain(name);
    }
    expect(initContainers.map(({ name }) => name)).toEqual(['restore', 'backup']);
  });

  test(
    '`npm start` ends by SIGTERM, and what it started with it',
    async () => {
      const database = join(place().newFolder(), 'app.sqlite');
      makeDatabase(database);
      const env = {
        PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`,
        HOME: place().newFolder(),
        PORT: '0',
        DATABASE_URL: database,
        BACKUP_LOCAL_PATH: join(database, '../backups'),
        BACKUP_STATE_PATH: join(database, '../state.sqlite'),
      };
      const page = await begin(['npm', 'start'], { cwd: place().built, env }, { ready: /page is at (\S+)/, running });
      expect((await fetch(`${page}/health`)).status).toBeLessThan(600);
      for (const child of running.splice(0)) await end(child);
      await expect(fetch(`${page}/health`)).rejects.toThrow();
    },
    PATIENCE_MS,
  );
}

interface Compose {
  readonly services: Readonly<
    Record<string, { volumes: string[]; secrets?: string[]; environment?: Record<string, string> }>
  >;
  readonly secrets: object;
}

interface Pod {
  readonly spec: {
    readonly template: { readonly spec: { initContainers: Container[]; containers: Container[] } };
    readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[];
  };
}

interface Container {
  readonly name: string;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

const readDocument = (file: string) => readFileSync(join(root, file), 'utf8');

/** The lines of a container file, or of the one in a page, from its last `FROM` on. */
function lastStageOf(file: string): readonly string[] {
  const text = readDocument(file);
  const lines = (/^```dockerfile\n([\s\S]*?)^```/m.exec(text)?.[1] ?? text).split('\n');
  return lines.slice(lines.findLastIndex((line) => line.startsWith('FROM '))).filter(Boolean);
}
