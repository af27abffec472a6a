import { expect, test } from 'bun:test';
import { openShop, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { checkTargets, type FurtherBucket, remoteTargets, type S3Target } from './targets.ts';

const newFolder = scratchFolders();
const settings = { s3Enabled: true, s3Path: 'backups/database' };
const s3: S3Target = { bucket: 'mine', region: 'us-east-1', endpoint: 'https://s3.example.com', retentionCount: null };
const further = (change: Partial<FurtherBucket> = {}): FurtherBucket => ({
  ...{ ...s3, bucket: 'other', name: 'offsite-eu', prefix: 'backups/database' },
  ...change,
});
const complaint = (...targets: FurtherBucket[]) => refusal(() => checkTargets({ s3, targets }, settings));

test('S3 of the environment comes first, at the path and in the state of the settings; the others are on', () => {
  const targets = remoteTargets({ s3, targets: [further()] }, { s3Enabled: false, s3Path: 'moved' });
  expect(targets.map(({ name, prefix, isEnabled }) => [name, prefix, isEnabled])).toEqual([
    ['s3', 'moved', false],
    ['offsite-eu', 'backups/database', true],
  ]);
  expect(remoteTargets({ targets: [further()] }, settings).map(({ name }) => name)).toEqual(['offsite-eu']);
  expect(remoteTargets({}, settings)).toEqual([]);
});

for (const name of ['local', 's3', '', 'EU', '1st', 'off site', 'a/b', '../x', `a${'b'.repeat(32)}`]) {
  test(`no target is called ${JSON.stringify(name)}`, async () => {
    expect(await complaint(further({ name }))).toMatchObject({ code: 'BAD_CONFIG' });
  });
}

test('a name is taken once, and a prefix is a path', async () => {
  const twice = await complaint(further(), further({ bucket: 'third' }));
  expect([twice.code, twice.message]).toEqual(['BAD_CONFIG', 'a further target cannot be called "offsite-eu"']);
  for (const prefix of ['', '/a', 'a/', 'a/../b']) {
    expect((await complaint(further({ prefix }))).message).toContain('the prefix of the target offsite-eu is wrong');
  }
  checkTargets({ s3, targets: [further(), further({ name: `a${'b'.repeat(31)}`, prefix: 'b' })] }, settings);
});

test('an address that is shown has no password in it', async () => {
  const endpoint = 'https://us3r:pa55word@s3.example.com';
  for (const targets of [{ s3: { ...s3, endpoint } }, { s3, targets: [further({ endpoint })] }]) {
    const { code, message, hint } = await refusal(() => checkTargets(targets, settings));
    expect([code, message]).toEqual(['BAD_CONFIG', expect.stringContaining('has a name or a password in it')]);
    expect(message + hint).not.toMatch(/us3r|pa55word/);
  }
});

test('two targets are never one place, however its address is written', async () => {
  for (const endpoint of ['https://s3.example.com', 's3.example.com', 'https://S3.example.com/']) {
    const same = await complaint(further({ bucket: 'mine', endpoint }));
    expect([same.code, same.message]).toEqual([
      'BAD_CONFIG',
      'the targets s3 and offsite-eu are one place: s3://mine/backups/database',
    ]);
  }
  const amazon = [
    further({ endpoint: null }),
    further({ name: 'b', region: 'eu-west-1', endpoint: 's3.eu-west-1.amazonaws.com' }),
  ];
  expect((await complaint(...amazon)).message).toContain('are one place');
  checkTargets({ s3, targets: [further({ bucket: 'mine', prefix: 'elsewhere' })] }, settings);
  checkTargets({ s3, targets: [further({ bucket: 'mine', endpoint: 'https://s3.example.org' })] }, settings);
});

test('neither the service nor a changed path brings two to one place', async () => {
  const targets = [further({ bucket: 'mine', prefix: 'eu' })];
  const folder = newFolder();
  expect((await refusal(() => openShop(folder, { s3, targets, settings: { s3Path: 'eu' } }))).code).toBe('BAD_CONFIG');
  await using shop = openShop(folder, { s3, targets, form: null, settings });
  expect((await refusal(() => shop.service.updateConfig({ s3Path: 'eu' }))).message).toContain('are one place');
  expect(shop.service.getConfig().s3Path).toBe('backups/database');
  expect(shop.service.updateConfig({ s3Path: 'us' }).s3Path).toBe('us');
  // The target came later than what was saved on the page.
  const later = shop.again({ targets: [further({ bucket: 'mine', prefix: 'us' })] });
  expect((await refusal(() => later.getStatus())).code).toBe('BAD_CONFIG');
  expect(later.updateConfig({ revert: ['s3Path'] }).s3Path).toBe('backups/database');
  expect((await later.getStatus()).targets).toHaveLength(2);
});
