/**
 * Tries a target that is about to be set up: the self-test, and before anything is written there, whose the place is. A
 * place of another database is left as it is.
 */
import { judgePlace, NO_IDENTITY, requireOurs } from '../catalog/identity.ts';
import { readTargetIdentity } from '../catalog/own-target.ts';
import { listRemote } from '../catalog/store-catalog.ts';
import { openTarget, type TargetAccess, whereOf, wordsOf } from '../store/kinds.ts';
import { type Check, ok } from '../store/self-test-checks.ts';
import { type TargetReport, testTarget } from '../store/self-test.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import { BackupError } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';

export interface TryTargetRequest {
  readonly kind: 'try-target';
  readonly target: { readonly name: string; readonly access: TargetAccess; readonly prefix: string };
  readonly self: DatabaseSelf;
}

/** @throws BackupError ABORTED, BAD_CONFIG */
export async function tryTarget({ target, self }: TryTargetRequest, context: StoryContext): Promise<TargetReport> {
  return await testTarget(target, {
    ...{ now: context.now, signal: context.signal, before: [isOurs(target, self, context)] },
    onFinding: (finding) => context.onEvent({ type: 'finding', finding }),
  });
}

function isOurs(
  { name, access, prefix }: TryTargetRequest['target'],
  self: DatabaseSelf,
  { signal }: StoryContext,
): Check {
  return {
    name: 'owner',
    cannot: 'backups of this database cannot be kept there',
    async run() {
      const store = openTarget(access, prefix);
      try {
        const listed = await listRemote(store, { signal });
        const entries = listed.entries.toSorted((a, b) => (a.name < b.name ? 1 : -1));
        const identity = await readTargetIdentity(store, self, entries, { signal, before: null }).catch(
          (error: unknown) => {
            // A key that may not ask for a missing object is told of by another check.
            if (error instanceof BackupError && error.code === 'S3_DENIED') return NO_IDENTITY;
            throw error;
          },
        );
        const ownership = judgePlace('target', identity, self, entries);
        requireOurs(ownership, identity, { place: whereOf(access, prefix), target: name, own: wordsOf(access).own });
        if (entries.length === 0) return ok(`it is empty, and will belong to ${self.name}`);
        const count = entries.length === 1 ? 'a backup' : `${entries.length} backups`;
        return ok(`it has ${count} of ${self.name} already`);
      } finally {
        store.close();
      }
    },
  };
}
