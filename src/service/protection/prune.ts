/** Retention by hand: what it would remove in the folder or at a target, and its carrying out. */
import { planFolder } from '../../engine/catalog/prune-folder.ts';
import { type Backups, namesOf } from '../backups/backups.ts';
import type { Removals } from '../backups/removals.ts';
import type { ServiceContext } from '../context.ts';
import type { PruneResult } from '../service-port.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { Claims } from '../targets/claims.ts';
import { SURVIVED } from '../targets/retention-policies.ts';
import type { Retention } from './retention.ts';

interface PruneParts {
  readonly backups: Backups;
  readonly claims: Claims;
  readonly removals: Removals;
  readonly retention: Retention;
}

export async function prune(
  context: ServiceContext,
  parts: PruneParts,
  { dryRun = false, target = 'local' }: { readonly dryRun?: boolean; readonly target?: TargetName },
): Promise<PruneResult> {
  const { now, audit, emit, catalog } = context;
  const { backups, claims, retention } = parts;
  const remote = target === 'local' ? null : backups.requireRemote(target);
  const plan = remote
    ? await remote.retention.plan()
    : await planOfFolder(context, retention, { now: now(), hold: retention.hold() });
  const kept = plan.kept.map(({ backup, reasons }) => ({ filename: backup.name, reasons }));
  const removed = plan.removed.map(({ backup, reason }) => ({ filename: backup.name, reason }));
  if (dryRun) return { target, kept, removed, dryRun };
  if (remote) remote.retention.requireOurs();
  else await claims.requireOwnFolder();
  // Whether another machine writes there, the job finds out anew.
  if (removed.length === 0 && !remote?.writing.isStopped) return { target, kept, removed, dryRun };
  const act = { act: 'prune', target } as const;
  const done = await audit.carry(act, () => (remote ? remote.retention.prune() : pruneFolder(context, parts)), {
    done: ({ length }) => ({ ...act, detail: `${length} removed` }),
  });
  emit({ type: 'status' });
  // Another process may have removed some meanwhile.
  const there = namesOf(remote ? remote.backups : await catalog.list());
  const survivors = removed.filter(({ filename }) => !done.includes(filename) && there.has(filename));
  return {
    ...{ target, dryRun, removed: removed.filter(({ filename }) => done.includes(filename)) },
    kept: [...kept, ...survivors.map(({ filename }) => ({ filename, reasons: [SURVIVED] }))],
  };
}

async function planOfFolder(
  { catalog, places, folder }: ServiceContext,
  retention: Retention,
  when: { readonly now: Date; readonly hold: string | null },
) {
  const backups = await catalog.list();
  const { ownership } = places.folder(backups);
  return planFolder(backups, folder.path, retention.ofFolder(), { ...when, ownership });
}

async function pruneFolder(
  { jobs, folder, waits, places }: ServiceContext,
  { retention, removals }: PruneParts,
): Promise<readonly string[]> {
  const { removed } = await jobs.run<'prune'>({
    kind: 'prune',
    folder: folder.path,
    retention: retention.ofFolder(),
    lockWaitMs: waits.lockMs,
    self: await places.selfToWrite(),
  });
  for (const name of removed) removals.byRetention(name);
  return removed;
}
