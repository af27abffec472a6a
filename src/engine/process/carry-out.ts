/** Which story each request tells: for the job's process, and for tests that tell it in their own. */
import { makeBackup } from '../stories/backup.ts';
import { compareWithMoment } from '../stories/backup-moment.ts';
import { drill } from '../stories/drill.ts';
import { drillMoment, pickMoment } from '../stories/drill-moment.ts';
import { examineDatabase } from '../stories/look.ts';
import { fetchBackup } from '../stories/fetch.ts';
import { bringBackMissing } from '../stories/first-boot.ts';
import { pruneFolder } from '../catalog/prune-folder.ts';
import { changeRemote, claimRemote, listRemoteBackups, pruneRemoteBackups, removeRemote } from '../stories/target.ts';
import { listMoments, makeMomentFile, mark } from '../stories/moments.ts';
import { planRestoreFacts, restoreDatabase } from '../stories/restore.ts';
import { checkDatabase } from '../sqlite/judge-live.ts';
import { testTarget } from '../store/self-test.ts';
import { tryTarget } from '../stories/try-target.ts';
import { uploadBackup } from '../stories/upload.ts';
import { verify } from '../stories/verify.ts';
import type { StoryContext } from '../../words/story.ts';
import type { JobRequest } from './protocol.ts';

export async function carryOut(request: JobRequest, context: StoryContext): Promise<unknown> {
  switch (request.kind) {
    case 'backup':
      return await makeBackup(request, context);
    case 'verify':
      return await verify(request, context);
    case 'plan':
      return planRestoreFacts(request);
    case 'restore':
      return await restoreDatabase(request, context);
    case 'first-boot':
      return await bringBackMissing(request, context);
    case 'upload':
      return await uploadBackup(request, context);
    case 'list-remote':
      return await listRemoteBackups(request, context);
    case 'fetch':
      return await fetchBackup(request, context);
    case 'examine':
      return examineDatabase(request);
    case 'check':
      return checkDatabase(request.databasePath);
    case 'drill':
      return await drill(request, context);
    case 'pick-moment':
      return await pickMoment(request);
    case 'drill-moment':
      return await drillMoment(request, context);
    case 'change-remote':
      return await changeRemote(request, context);
    case 'claim-remote':
      return await claimRemote(request, context);
    case 'remove-remote':
      return await removeRemote(request, context);
    case 'prune-remote':
      return await pruneRemoteBackups(request, context);
    case 'test-target':
      return await testTarget(request.target, context);
    case 'backup-moment':
      return await compareWithMoment(request, context);
    case 'moments':
      return await listMoments(request);
    case 'moment-file':
      return await makeMomentFile(request, context);
    case 'mark':
      return await mark(request, context);
    case 'try-target':
      return await tryTarget(request, context);
    case 'prune':
      return await pruneFolder(request, context);
  }
}
