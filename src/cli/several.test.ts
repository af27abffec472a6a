import { expect, test } from 'bun:test';
import { createFakeService, type FakeService, firstBackup } from '../../tests/http/fake-service.ts';
import { runCli } from './program.ts';
import type { CliDatabase } from './session.ts';

async function cli(argv: string, databases: readonly CliDatabase[]) {
  let stdout = '';
  let stderr = '';
  let closed = 0;
  const code = await runCli(argv.split(' '), {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    signal: new AbortController().signal,
    createService: () => ({
      ...{ isMany: true, databases, getAudit: () => [], recordAct: () => {} },
      async close() {
        closed += 1;
      },
    }),
    serve: async () => {},
    now: () => new Date('2024-02-01T00:00:00Z'),
  });
  expect(closed).toBe(1);
  return { code, stdout, stderr };
}

function shopAndWiki(): { shop: FakeService; wiki: FakeService; databases: readonly CliDatabase[] } {
  const [shop, wiki] = [createFakeService(), createFakeService()];
  return {
    ...{ shop, wiki },
    databases: [
      { name: 'shop', service: shop },
      { name: 'wiki', service: wiki },
    ],
  };
}

test('a backup is made of each, and each line says of which', async () => {
  const { databases, shop, wiki } = shopAndWiki();
  const { code, stdout } = await cli('backup', databases);
  expect([code, stdout.split('\n').map((line) => line.replace(/backup-.*/, '…'))]).toEqual([
    ...[0, ['shop  Completed: …', 'wiki  Completed: …', '']],
  ]);
  expect([shop.calls, wiki.calls]).toEqual([['performBackup'], ['performBackup']]);
});

test('one that fails keeps no other from its turn; the exit code is the worst', async () => {
  const { databases, shop, wiki } = shopAndWiki();
  shop.behaviour.runError = { code: 'VERIFY_FAILED', message: 'it is torn', hint: 'Look at the disk.' };
  wiki.behaviour.s3Uploaded = false;
  const { code, stdout, stderr } = await cli('backup', databases);
  expect([code, stderr]).toEqual([4, expect.stringContaining('Error: shop: it is torn (VERIFY_FAILED)')]);
  expect(stdout).toMatch(/^wiki {2}Completed/);
  expect((await cli('backup', databases.slice(1))).code).toBe(5);
  shop.behaviour.throws = new Error('broken');
  expect((await cli('status', databases)).code).toBe(1);
});

test('--json is one document, with each database under its name', async () => {
  const { databases, shop } = shopAndWiki();
  for (const command of ['backup', 'list', 'status', 'prune --dry-run', 'doctor', 'drill']) {
    const { stdout } = await cli(`${command} --json`, databases);
    expect([command, Object.keys(JSON.parse(stdout).databases)]).toEqual([command, ['shop', 'wiki']]);
  }
  shop.behaviour.throws = new Error('broken');
  const told = JSON.parse((await cli('status --json', databases)).stdout).databases;
  expect([told.shop.error.code, told.wiki.verdict.code]).toEqual(['INTERNAL', 'protected']);
});

test('status is one line for each', async () => {
  const { stdout, code } = await cli('status', shopAndWiki().databases);
  expect(code).toBe(0);
  expect(stdout.split('\n').map((line) => line.split(/ +/).slice(0, 3))).toEqual([
    ['DATABASE', 'STATE', 'STATUS'],
    ['shop', 'protected', 'protected'],
    ['wiki', 'protected', 'protected'],
    [''],
  ]);
});

test('what replaces or judges one thing needs a pick, and does nothing without', async () => {
  for (const command of ['restore latest', `verify ${firstBackup}`, 'undo', `adopt ${firstBackup}`]) {
    const { databases, shop, wiki } = shopAndWiki();
    const { code, stderr } = await cli(command, databases);
    expect([command, code, stderr]).toEqual([command, 2, expect.stringContaining('The names are: shop, wiki.')]);
    expect([...shop.calls, ...wiki.calls]).toEqual([]);
    await cli(`${command} --database wiki`, databases);
    expect([shop.calls, wiki.calls.length > 0]).toEqual([[], true]);
  }
});

test('a database is picked by its name or its path, and answers as if it were alone', async () => {
  const { databases, shop } = shopAndWiki();
  const alone = await cli('status --database shop', databases);
  expect(alone.stdout).toStartWith('status     protected\n');
  expect((await cli('list --json --database db/dev.sqlite', databases)).stdout).toContain('"backups"');
  expect(shop.calls).toContain('getBackups');
  const none = await cli('list --database nope', databases);
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('there is no database nope')]);
});

test('a configuration that finds none is no success', async () => {
  const { code, stderr } = await cli('status', []);
  expect([code, stderr]).toEqual([2, expect.stringContaining('finds none')]);
});
