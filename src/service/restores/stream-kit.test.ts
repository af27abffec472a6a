import { expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { areMissing } from '../../../tests/support/programs.ts';
import { copyToTarget, makeStream, makeTargetFolder } from '../../../tests/support/remote-stream.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { materialize } from '../../engine/replication/materialize.ts';
import { kitOf, openTarget, type TargetAccess } from '../../engine/store/kinds.ts';
import { streamKit } from './stream-kit.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();

function kitFor(access: TargetAccess, recipients: readonly string[] = []): string {
  const target = { name: 'nas', access, prefix: 'shop', sealing: { recipients } };
  return streamKit([target], kitOf([target]).stream, '/srv/backups');
}

test('what is not encrypted is restored by this program, and by Litestream as it lies there', () => {
  const folder = kitFor({ kind: 'folder', path: '/mnt/nas' });
  expect(folder).toContain('velist-backup restore latest --from nas --to newest.sqlite');
  expect(folder).toContain('{ type: file, path: "/mnt/nas/shop/continuous" }');
  const endpoint = 'https://s3.example.com';
  const bucket = kitFor({ kind: 's3', bucket: 'safe', region: 'eu', endpoint });
  expect(bucket).toContain(
    '{ type: s3, bucket: safe, path: "shop/continuous", region: eu, endpoint: "https://s3.example.com"',
  );
  expect(bucket).not.toContain('age -d');
});

test('the commands open an encrypted stream with age, to what any reader of such files takes', async () => {
  if (areMissing(['age'])) return;
  const identity = await generateIdentity();
  const recipients = [await identityToRecipient(identity)];
  const path = makeTargetFolder(scratch());
  const { folder, states } = await makeStream(join(scratch(), 'continuous'), 4);
  await copyToTarget(folder, openTarget({ kind: 'folder', path }, 'shop'), { kind: 'folder', recipients });
  const kit = kitFor({ kind: 'folder', path }, recipients);
  const commands = [...kit.matchAll(/```text\n([^`]*)```/g)]
    .map(([, text]) => text)
    .find((text) => text?.includes('age -d'));
  const place = scratch();
  const inside = join(place, 'velist-recovery');
  mkdirSync(inside);
  writeFileSync(join(place, 'key.txt'), `${identity}\n`);
  const script = (commands ?? '').replace(/^litestream .*$/m, '');
  const { status, stderr } = spawnSync('sh', ['-e', '-c', script], { cwd: inside });
  expect([status, stderr.toString()]).toEqual([0, '']);
  const to = join(place, 'newest.sqlite');
  await materialize(join(inside, 'opened'), { latest: true }, to);
  expect(readFileSync(to).equals(states[4] ?? Buffer.of())).toBe(true);
});
