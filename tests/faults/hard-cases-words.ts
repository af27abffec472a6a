/**
 * Hard cases in which no backup fails: what is refused at the start, what S3 answers, and backups that changed or were
 * moved where they lie. Each is provoked for real, and what is said is what the user gets.
 */
import assert from 'node:assert/strict';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadEnvironment, type Variables } from '../../src/config/env.ts';
import type { ErrorBody } from '../../src/words/errors.ts';
import type { Effect } from '../support/s3-server.ts';
import { startS3 } from './hard-cases-actors.ts';
import { refusalOf, type Scene } from './hard-cases.ts';

export interface WordCase {
  /** A sentence. */
  readonly name: string;
  /** Matches code, message and hint together. */
  readonly says: RegExp;
  ask(scene: Scene): Promise<Said>;
}

/** What the user gets; an answer without a code is shown on page and command line. */
export type Said = Pick<ErrorBody, 'message'> & Partial<Pick<ErrorBody, 'code' | 'hint'>>;

function setting(name: string, variables: Variables, says: RegExp): WordCase {
  return {
    ...{ name, says },
    async ask() {
      const { code, message, hint } = await refusalOf(async () => loadEnvironment(variables));
      return { code, hint, message: message.replace(/^.*\n\s*/, '') };
    },
  };
}

export const settingCases: readonly WordCase[] = [
  setting(
    'a slip in the name of a setting is told with the name that is meant',
    { BACKUP_RETENTON_COUNT: '5' },
    /BACKUP_RETENTON_COUNT: unknown setting; did you mean BACKUP_RETENTION_COUNT\?/,
  ),
  setting('a slip in the name of an S3 setting too', { S3_BUKCET: 'x' }, /S3_BUKCET: .* did you mean S3_BUCKET\?/),
  setting(
    'a database of another server is no file',
    { DATABASE_URL: 'postgres://db/app' },
    /DATABASE_URL: \(secret\) .* postgres: is a server/,
  ),
  setting('a database in memory has no file', { DATABASE_URL: 'file:x?mode=memory' }, /in memory has no file/),
  setting('a path with a placeholder that nobody filled in', { DATABASE_URL: '$DATA/app.db' }, /was not filled in/),
  {
    name: 'a path that Prisma and everybody else count from two folders, where both files are',
    says: /it names two files: .*dev\.db in the working directory, and prisma\/dev\.db, which is what Prisma means/,
    async ask(scene) {
      const before = process.cwd();
      mkdirSync(join(scene.folder, 'prisma'));
      const schema = 'datasource db { provider = "sqlite" url = env("DATABASE_URL") }';
      writeFileSync(join(scene.folder, 'prisma/schema.prisma'), schema);
      for (const name of ['dev.db', 'prisma/dev.db']) writeFileSync(join(scene.folder, name), '');
      process.chdir(scene.folder);
      try {
        return await setting('', { DATABASE_URL: 'file:./dev.db' }, /./).ask(scene);
      } finally {
        process.chdir(before);
      }
    },
  },
  setting(
    'a password in quotes, as docker --env-file keeps them',
    { BACKUP_ADMIN_PASSWORD: '"a good one"' },
    /it is in quotes, which docker --env-file takes as part of the value/,
  ),
  setting(
    'an address in the place of a bucket',
    { S3_BUCKET: 's3://my-backups/shop' },
    /the name alone: S3_BUCKET=my-backups, and BACKUP_S3_PATH=shop/,
  ),
  setting(
    "another tool's name for the bucket",
    { BACKUP_S3_ENABLED: 'true', AWS_BUCKET: 'my-backups' },
    /S3_BUCKET: is missing; .* \(AWS_BUCKET is not read\)/,
  ),
  {
    name: 'a run history at the place of the database',
    says: /BAD_CONFIG BACKUP_STATE_PATH names the database itself/,
    ask: async (scene) => (await refusalOf(async () => scene.openService({ statePath: scene.databasePath }))).toJSON(),
  },
];

function answer(name: string, effect: Effect, says: RegExp): WordCase {
  return {
    ...{ name, says },
    async ask(scene) {
      const { service, server } = await withS3(scene);
      server.faults.push({ match: /./, effect });
      const { success, s3Uploaded } = await service.performBackup();
      assert.deepEqual([success, s3Uploaded], [true, false], 'the backup here counts');
      const { error } = (await service.getStatus()).s3;
      assert.ok(error);
      return error;
    },
  };
}

export const answerCases: readonly WordCase[] = [
  answer(
    'temporary credentials have run out',
    { status: 400, code: 'ExpiredToken' },
    /S3_DENIED the temporary credentials .*S3_SESSION_TOKEN/,
  ),
  answer(
    'the account is suspended',
    { status: 403, code: 'AccountProblem' },
    /S3_DENIED the account or user .* is blocked .*not at fault/,
  ),
  answer(
    'the user is suspended',
    { status: 403, code: 'UserSuspended' },
    /S3_DENIED the account or user .* is blocked/,
  ),
  answer('the bucket is full', { status: 403, code: 'QuotaExceeded' }, /S3_FAILED .* is full \(QuotaExceeded\)/),
  answer(
    'a daily cap is reached',
    { status: 403, code: 'TransactionCapExceeded' },
    /S3_FAILED a limit of the account .* is reached/,
  ),
  answer(
    'the clocks differ',
    { status: 403, code: 'RequestTimeTooSkewed' },
    /S3_CLOCK .*differ by more than 15 minutes/,
  ),
  answer(
    "the server's own key is disabled",
    { status: 400, code: 'KMS.DisabledException' },
    /S3_FAILED the key with which the server encrypts/,
  ),
  answer(
    'the key lacks a right',
    { status: 403, code: 'AccessDenied' },
    /S3_DENIED S3 refused the key .*needs PutObject/,
  ),
];

export const keptCases: readonly WordCase[] = [
  {
    name: 'a copy on S3 was moved to an archive class, and is asked for',
    says: /S3_ARCHIVED .* is in an archive class .*brought back first/,
    async ask(scene) {
      const { service, server } = await withS3(scene);
      const { filename = '' } = await service.performBackup();
      server.archived.set(`/my-backups/backups/database/${filename}`, 'GLACIER');
      const to = join(scene.folder, 'copy.sqlite');
      return (await refusalOf(() => service.restore(filename, { mode: 'file', from: 's3', to }))).toJSON();
    },
  },
  {
    name: 'the newest backup was overwritten by as many other bytes, and nobody has verified it',
    says: /The file of backup-.* was changed after it was published; verify it/,
    async ask(scene) {
      const { filename = '' } = await scene.service.performBackup();
      const path = join(scene.backups, filename);
      writeFileSync(path, Buffer.alloc(statSync(path).size));
      const { verdict } = await scene.service.getStatus();
      assert.equal(verdict.code, 'changed');
      return { message: verdict.detail ?? '' };
    },
  },
];

async function withS3(scene: Scene) {
  const { access, server } = await startS3(scene);
  // The first try is the answer.
  const service = scene.openService({ s3: { ...access, retentionCount: null, maxAttempts: 1 } });
  service.updateConfig({ enabled: false, s3Enabled: true });
  return { service, server };
}
