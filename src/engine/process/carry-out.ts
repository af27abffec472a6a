/**
 * Which story each request tells: for the job's process, and for tests that tell it in their own. A process loads the one that
 * it tells and no other: all of them took a fifth of the time of a small backup.
 */
import type { StoryContext } from '../../words/story.ts';
import type { JobRequest } from './protocol.ts';

export async function carryOut(request: JobRequest, context: StoryContext): Promise<unknown> {
  switch (request.kind) {
    case 'backup':
      return await (await import('../stories/backup.ts')).makeBackup(request, context);
    case 'verify':
      return await (await import('../stories/verify.ts')).verify(request, context);
    case 'plan':
      return (await import('../stories/restore.ts')).planRestoreFacts(request);
    case 'restore':
      return await (await import('../stories/restore.ts')).restoreDatabase(request, context);
    case 'first-boot':
      return await (await import('../stories/first-boot.ts')).bringBackMissing(request, context);
    case 'upload':
      return await (await import('../stories/upload.ts')).uploadBackup(request, context);
    case 'list-remote':
      return await (await import('../stories/target.ts')).listRemoteBackups(request, context);
    case 'fetch':
      return await (await import('../stories/fetch.ts')).fetchBackup(request, context);
    case 'examine':
      return (await import('../stories/look.ts')).examineDatabase(request);
    case 'check':
      return (await import('../sqlite/judge-live.ts')).checkDatabase(request.databasePath);
    case 'drill':
      return await (await import('../stories/drill.ts')).drill(request, context);
    case 'pick-moment':
      return await (await import('../stories/drill-moment.ts')).pickMoment(request);
    case 'drill-moment':
      return await (await import('../stories/drill-moment.ts')).drillMoment(request, context);
    case 'change-remote':
      return await (await import('../stories/target.ts')).changeRemote(request, context);
    case 'claim-remote':
      return await (await import('../stories/target.ts')).claimRemote(request, context);
    case 'remove-remote':
      return await (await import('../stories/target.ts')).removeRemote(request, context);
    case 'prune-remote':
      return await (await import('../stories/target.ts')).pruneRemoteBackups(request, context);
    case 'test-target':
      return await (await import('../store/self-test.ts')).testTarget(request.target, context);
    case 'backup-moment':
      return await (await import('../stories/backup-moment.ts')).compareWithMoment(request, context);
    case 'moments':
      return await (await import('../stories/moments.ts')).listMoments(request);
    case 'moment-file':
      return await (await import('../stories/moments.ts')).makeMomentFile(request, context);
    case 'remote-moments':
      return await (await import('../stories/remote-moments.ts')).listRemoteMoments(request, context);
    case 'remote-moment-file':
      return await (await import('../stories/remote-moments.ts')).makeRemoteMomentFile(request, context);
    case 'pick-remote-moment':
      return await (await import('../stories/drill-remote-moment.ts')).pickRemoteMoment(request, context);
    case 'drill-remote-moment':
      return await (await import('../stories/drill-remote-moment.ts')).drillRemoteMoment(request, context);
    case 'mark':
      return await (await import('../stories/moments.ts')).mark(request, context);
    case 'try-target':
      return await (await import('../stories/try-target.ts')).tryTarget(request, context);
    case 'rescue-plan':
      return (await import('../stories/rescue.ts')).planRescueStory(request);
    case 'rescue':
      return await (await import('../stories/rescue.ts')).rescueStory(request, context);
    case 'rescue-undo':
      return await (await import('../stories/rescue.ts')).undoRescueStory(request, context);
    case 'rescues':
      return await (await import('../stories/rescue.ts')).listRescues(request, context);
    case 'prune':
      return await (await import('../catalog/prune-folder.ts')).pruneFolder(request, context);
  }
}
