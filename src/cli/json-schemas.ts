/**
 * What `--json` prints, as one JSON Schema: a definition a verb. It is made of the schemas that the routes promise, so the
 * two cannot part. Fields may be added in later versions; none is removed or changes its meaning.
 */
import { z } from 'zod';
import {
  askedMoment,
  ruleFindings,
  unchecked,
  auditAnswer,
  backup,
  backupDiff,
  backupResult,
  backupsAnswer,
  claimAnswer,
  config,
  deleteAnswer,
  doctorReport,
  drillReport,
  errorBody,
  mark,
  moments,
  pauseAnswer,
  prunePlan,
  restorePlan,
  rescuedAnswer,
  rescuePlan,
  rescues,
  rescueUndone,
  restoreResult,
  resumeAnswer,
  runsAnswer,
  status,
  targetName,
  targetReport,
} from '../http/contract.ts';

const path = z.string();

const firstBoot = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('present'), path }),
  z.object({
    outcome: z.literal('restored'),
    path,
    backup: z.string(),
    from: targetName,
    lack: z.string().optional(),
    skipped: z.array(z.object({ filename: z.string(), from: targetName, reason: z.string() })),
  }),
  z.object({ outcome: z.literal('first-boot'), path, looked: z.array(z.string()) }),
]);

const verifiedFile = z.object({
  path,
  ok: z.boolean(),
  detail: z.string().nullable(),
  method: z.enum(['quick', 'full']),
  content: ruleFindings,
  unchecked,
});

const dryRun = z.object({
  dryRun: z.literal(true),
  mode: z.enum(['online', 'offline', 'missing', 'file']),
  backup: z.string(),
  path,
  plan: restorePlan.nullable(),
  moment: askedMoment.optional(),
});

/** Whatever the verb, one that could not be carried out answers `error`. */
export const answers = {
  backup: backupResult,
  list: backupsAnswer,
  verify: z.union([backup, verifiedFile]),
  restore: z.union([restoreResult, firstBoot, dryRun]),
  undo: z.union([restoreResult, dryRun]),
  rescue: z.union([rescueUndone, rescuedAnswer, z.object({ dryRun: z.literal(true), plan: rescuePlan }), rescues]),
  adopt: backup,
  pin: backup,
  unpin: backup,
  note: backup,
  claim: claimAnswer,
  delete: deleteAnswer,
  prune: prunePlan,
  diff: backupDiff,
  'accept-loss': backup,
  'test-target': targetReport,
  drill: drillReport,
  doctor: doctorReport,
  status,
  config,
  log: runsAnswer,
  audit: auditAnswer,
  moments,
  mark,
  pause: pauseAnswer,
  resume: resumeAnswer,
  kit: z.object({ kit: z.string(), path: z.string().nullable(), replaced: z.boolean() }),
  error: z.object({ error: errorBody }),
} as const;

export function answersSchema(): object {
  const definitions = Object.entries(answers).map(([verb, answer]) => {
    const { $schema: _, ...definition } = z.toJSONSchema(answer, { io: 'input', reused: 'inline' });
    return [verb, definition];
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'What velist-backup --json prints',
    description: 'One definition for each verb; `error` is what each of them prints when it could not be carried out.',
    $defs: Object.fromEntries(definitions),
  };
}
