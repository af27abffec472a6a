/** One backup as a program of its own, for another user: its result as JSON on standard output. */
import { BackupService } from '../../src/service/backup-service.ts';

const [databasePath = '', backupsPath = '', statePath = '', waitMs = ''] = process.argv.slice(2);
const service = new BackupService({
  databasePath,
  backupsPath,
  statePath,
  settings: {
    enabled: true,
    intervalMinutes: 10,
    retentionCount: 10,
    s3Enabled: false,
    s3Path: 'backups/database',
    verify: 'quick',
    maxAgeMinutes: null,
  },
  log: () => {},
  jobEnvironment: { PATH: process.env['PATH'] ?? '' },
  waits: { lockMs: Number(waitMs), pinMs: Number(waitMs) },
});
console.log(JSON.stringify(await service.performBackup()));
await service.close();
