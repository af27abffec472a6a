/**
 * The HTTP contract: what each route takes and answers, as zod schemas. The page imports the types of this file and
 * nothing else of ours; `api.ts` checks what comes in against them and TypeScript checks what goes out. Dates are
 * ISO 8601 strings in UTC, sizes are bytes, durations milliseconds.
 */
import { z } from 'zod';
import { pageSettings } from '../config/page-settings.ts';
import { errorCodes } from '../words/errors.ts';
import { continuous, errorBody, time, verdictCode } from './contract-status.ts';

export { errorBody };

export const backupName = /^backup-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-\d{3}Z\.sqlite$/;

/** `local`, `s3` (the one of the environment), or the name of a further one. */
export const targetName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be the name of a target: local, s3, …');

export const errorAnswer = z.object({
  error: errorBody.extend({ fields: z.record(z.string(), z.string()).optional() }),
});

const trigger = z.enum(['start', 'schedule', 'manual', 'cli', 'safety']);
const runKind = z.enum(['backup', 'verify', 'restore', 'undo', 'upload', 'drill']);
const drilled = z.object({
  target: targetName,
  proof: z.enum(['restored', 'sealed']).nullable(),
  assertions: z.number(),
  remarks: z.array(z.string()).optional(),
});
const step = z.object({
  name: z.enum([
    'checkpoint',
    'copy',
    'verify',
    'publish',
    'upload',
    'prune',
    'fetch',
    'check',
    'safety',
    'place',
    'prove',
  ]),
  state: z.enum(['waiting', 'running', 'done', 'failed']),
  ms: z.number().optional(),
  bytesDone: z.number().optional(),
  bytesTotal: z.number().optional(),
});

export const runProgress = z.object({
  id: z.string(),
  kind: runKind,
  trigger,
  user: z.string().nullable(),
  startedAt: time,
  backup: z.string().nullable(),
  steps: z.array(step),
  percent: z.number(),
});

export const run = z.object({
  id: z.string(),
  kind: runKind,
  trigger,
  user: z.string().nullable(),
  plannedAt: time.nullable(),
  startedAt: time,
  endedAt: time,
  result: z.enum(['success', 'failed', 'unchanged', 'stopped']),
  backup: z.string().nullable(),
  sizeBytes: z.number().nullable(),
  steps: z.array(step),
  error: errorBody.nullable(),
  /** Only for a drill. `sealed`: the digest is right, and there was no key to open the content. */
  drill: drilled.optional(),
  /** Only for an upload: where to; left out for `s3`. */
  target: targetName.optional(),
});

const method = z.enum(['quick', 'full']);
/** Rows that break a rule of their own table; null rows where they are not counted. */
export const ruleFindings = z.array(z.object({ table: z.string(), rule: z.string(), rows: z.number().nullable() }));
/** What could not be checked, and why. */
export const unchecked = z.array(z.object({ what: z.string(), why: z.string() }));
export const verification = z.discriminatedUnion('state', [
  z.object({
    state: z.literal('verified'),
    method,
    at: time,
    content: ruleFindings,
    unchecked,
    /** Both in words. */
    remarks: z.array(z.string()),
  }),
  z.object({ state: z.literal('damaged'), method, at: time, detail: z.string() }),
  /** `changedAt`: it passed a check, and its file was written to since. */
  z.object({ state: z.literal('unchecked'), changedAt: time.optional() }),
]);

/** A database that a place or a backup belongs to; the id is null where only old manifests tell of it. */
const otherDatabase = z.object({ id: z.string().nullable(), name: z.string() });
const loss = z.object({
  before: z.string(),
  dayBefore: z.string().nullable(),
  /** The worst first; `after` null: the table is gone. */
  tables: z.array(z.object({ name: z.string(), before: z.number(), after: z.number().nullable() })),
  usedPages: z.object({ before: z.number(), after: z.number() }),
  accepted: z.object({ at: time, user: z.string().nullable() }).nullable(),
});

export const backup = z.object({
  filename: z.string(),
  size: z.number(),
  createdAt: time,
  trigger: trigger.nullable(),
  user: z.string().nullable(),
  verified: z.boolean(),
  verification,
  foreign: z.boolean(),
  pinned: z.boolean(),
  note: z.string().nullable(),
  safety: z.boolean(),
  sha256: z.string().nullable(),
  pages: z.number().nullable(),
  pageSize: z.number().nullable(),
  /** Without `local` the backup is elsewhere alone: it is fetched when it is needed. */
  placements: z.array(
    z.object({
      target: targetName,
      status: z.enum(['stored', 'waiting', 'failed']),
      at: time.nullable(),
      error: errorBody.nullable(),
      /** `storage/backups/backup-….sqlite` or `s3://bucket/prefix/backup-….sqlite.zst`; null where nothing is yet. */
      where: z.string().nullable(),
      /** Size of the file there, which may be compressed; null if it is not known. */
      sizeBytes: z.number().nullable(),
      /** Where it is known. */
      sealing: z.enum(['plain', 'zstd', 'age', 'zstd+age']).optional(),
      /** The provider must bring it back before it can be read, which takes that long: `3 to 12 hours`. */
      archive: z.object({ storageClass: z.string(), takes: z.string() }).optional(),
    }),
  ),
  /** The other database that it is a backup of; null for a backup of this one. */
  other: otherDatabase.nullable(),
  /** In all tables; null where verification did not count them. */
  rows: z.number().nullable(),
  /** Against the backup before it: the three biggest differences, and how many tables differ. */
  changes: z
    .object({
      since: z.string(),
      count: z.number(),
      tables: z.array(z.object({ name: z.string(), before: z.number().nullable(), after: z.number().nullable() })),
    })
    .nullable(),
  loss: loss.nullable(),
});

const tableSize = z.object({ rows: z.number().nullable(), bytes: z.number() }).nullable();
/** `GET /api/diff?a=&b=`: by what verification counted. */
export const backupDiff = z.object({
  a: z.string(),
  b: z.string(),
  tables: z.array(
    z.object({
      name: z.string(),
      change: z.enum(['same', 'rows', 'schema', 'added', 'removed']),
      before: tableSize,
      after: tableSize,
    }),
  ),
  isSameSchema: z.boolean(),
  usedBytes: z.object({ before: z.number(), after: z.number() }),
});

/** What a moment that was asked for was taken for; `said` names its zone, and the same in UTC. */
export const askedMoment = z.object({ at: time, said: z.string() });

export const restorePlan = z.object({
  backup: z.string(),
  confirm: z.string(),
  expected: z.string(),
  now: z.object({ sizeBytes: z.number(), changedAt: time, pageSize: z.number() }).nullable(),
  after: z.object({ sizeBytes: z.number(), createdAt: time, verified: z.boolean(), pageSize: z.number() }),
  tables: z.array(z.object({ name: z.string(), now: z.number().nullable(), after: z.number().nullable() })).nullable(),
  /** The best first; `missing` where there is no file to replace. */
  modes: z.array(z.enum(['online', 'offline', 'missing'])),
  /** What the warnings speak of: `missing` where there is no file; else what `?mode=` asks for, or the first possible. */
  mode: z.enum(['online', 'offline', 'missing']),
  /** Processes that have the database open, as far as they can be seen; an offline restore is refused meanwhile. */
  openIn: z.array(z.object({ pid: z.number(), name: z.string() })),
  /** A safety backup is made first, and undo brings it back. */
  undo: z.boolean(),
  warnings: z.array(z.string()),
  moment: askedMoment.optional(),
});
/** Only for a copy at a target: see `restoreBody`. */
const allowPlain = z.enum(['true']).optional();
export const downloadQuery = z.object({ allowPlain });
export const planQuery = z.object({ mode: z.enum(['online', 'offline']).optional(), allowPlain });

const oneOfThree = { path: ['at'], error: 'say one of backup, latest and at' };
const restorePoint = {
  /** A backup's name. */
  backup: z.string().max(255).optional(),
  /** `2024-01-15T10:30`, `yesterday 18:00`, `2 hours ago`: without a zone it is local time of the server. */
  at: z.string().max(100).optional(),
};
/** `GET /api/restore`: which backup that is, and what a restore of it would do. */
export const pointPlanQuery = planQuery
  .extend({ ...restorePoint, latest: z.enum(['true']).optional() })
  .refine(saysOnePoint, oneOfThree);

/** `late`: the newest good backup is too old. `at-risk`: it is not, but `cause` may end that. `unprotected`: there is none. */
const protectionState = z.enum(['protected', 'late', 'at-risk', 'unprotected']);
/** How fresh what protects the database is at each place, whatever is going at present. */
const freshness = z.object({
  state: protectionState,
  cause: verdictCode,
  changedAt: time.nullable(),
  targets: z.array(
    z.object({
      target: targetName,
      goodAt: time.nullable(),
      verifiedAt: time.nullable(),
      storedAt: time.nullable(),
      /** The last restore that a drill proved there; null when none did. */
      proven: z.object({ at: time, ms: z.number(), backup: z.string() }).nullable(),
      /** How the last drill there ended. */
      drill: z.object({ at: time, result: z.enum(['proven', 'sealed', 'failed']) }).nullable(),
    }),
  ),
});

/** What is stored at a target, and what waits for it. */
const remote = {
  enabled: z.boolean(),
  bucket: z.string().nullable(),
  path: z.string(),
  stored: z.number(),
  waiting: z.number(),
  nextTryAt: time.nullable(),
  error: errorBody.nullable(),
  /** When what it holds was looked at last. */
  listedAt: time.nullable(),
  /** After so many days a rule of the bucket removes a copy, and nothing else does; else our retention does. */
  lifecycleDays: z.number().nullable().optional(),
};

export const status = z.object({
  serverTime: time,
  version: z.string(),
  verdict: z.object({
    code: verdictCode,
    tone: z.enum(['green', 'amber', 'red', 'blue', 'grey']),
    /** One sentence, where code and status alone do not say what is wrong: a file that vanished from the folder. */
    detail: z.string().optional(),
  }),
  freshness,
  database: z.object({
    name: z.string(),
    path: z.string(),
    exists: z.boolean(),
    sizeBytes: z.number(),
    changedAt: time.nullable(),
    /** Against the oldest backup of the last 24 hours; null where there is none. */
    growthBytes: z.number().nullable(),
  }),
  schedule: z.object({
    enabled: z.boolean(),
    running: z.boolean(),
    intervalMinutes: z.number(),
    cron: z.string().nullable(),
    nextRunAt: time.nullable(),
    stalledSince: time.nullable(),
  }),
  local: z.object({
    path: z.string(),
    count: z.number(),
    keep: z.number(),
    sizeBytes: z.number(),
    freeBytes: z.number(),
    /** What retention will hold there, estimated from today's sizes. */
    forecast: z.object({
      bytes: z.number(),
      /** Size of one more backup. */
      eachBytes: z.number(),
      /** Size of safety copies, pinned ones, and foreign files: they stay beside what the numbers say. */
      besideBytes: z.number(),
      /** What all copies together may take while nobody said the keep numbers; null where somebody did. */
      budgetBytes: z.number().nullable(),
      /** How many copies there is room for of what the default keeps beside the newest, and the same in words. */
      fitting: z.number().nullable(),
      note: z.string().nullable(),
    }),
  }),
  s3: z.object({ configured: z.boolean(), ...remote }),
  /** Each that is configured beside the folder; `s3` first, if it is. */
  targets: z.array(z.object({ target: targetName, ...remote, where: z.string() })),
  lastGood: z.object({ filename: z.string(), createdAt: time, verifiedAt: time, holdsAt: time }).nullable(),
  maxAgeMinutes: z.number(),
  run: runProgress.nullable(),
  /** The newest that is not an upload. */
  lastRun: run.nullable(),
  lastBackupRun: run.nullable(),
  /** Whose the folder and each target that is on are, and who else writes there. */
  places: z.array(
    z.object({
      target: targetName,
      owner: z.enum(['ours', 'new', 'mixed', 'foreign', 'unknown']),
      other: otherDatabase
        .extend({
          createdAt: time.nullable(),
          isSameName: z.boolean().nullable(),
          isSamePath: z.boolean().nullable(),
          isSameMachine: z.boolean().nullable(),
          tablesInCommon: z.object({ common: z.number(), theirs: z.number() }).nullable(),
          newestBackup: z.object({ filename: z.string(), createdAt: time }).nullable(),
        })
        .nullable(),
      writer: z
        .object({ kind: z.enum(['other', 'clone']), host: z.string(), since: time, seenAt: time.nullable() })
        .nullable(),
      sparesOthersUntil: time.nullable(),
    }),
  ),
  /** Where every commit is to be captured; left out where continuous backup is off. */
  continuous: continuous.optional(),
  /** The open alarm: `filename` shows the loss that `before` does not have. */
  loss: loss.extend({ filename: z.string(), at: time, beforeAt: time }).nullable(),
  undo: z.object({ filename: z.string(), restored: z.string(), at: time }).nullable(),
});

/**
 * `GET /api/activity`: the size of the database and one bar for each planned run. Where a range holds more planned runs
 * than fit on a screen, a bar stands for several and shows the worst of them.
 */
export const activityRange = z.enum(['24h', '7d', '30d']);
export const activity = z.object({
  range: activityRange,
  from: time,
  to: time,
  /** As the backups saw it, oldest first. */
  sizes: z.array(z.object({ at: time, sizeBytes: z.number() })),
  /** Without gaps, oldest first. */
  bars: z.array(
    z.object({
      from: time,
      to: time,
      /** From the worst to the best; `none`: nothing was planned, or it has not come yet. */
      state: z.enum(['failed', 'missed', 'no-s3', 'kept', 'pruned', 'unchanged', 'none']),
      /** Runs that this bar stands for, by hand too. */
      runs: z.number(),
      /** The run that decides, for the run log; null for `missed` and `none`. */
      run: z.string().nullable(),
      sizeBytes: z.number().nullable(),
      /** One sentence where it is known: the run's error, or that the app was not running. */
      reason: z.string().nullable(),
    }),
  ),
  counts: z.object({ good: z.number(), failed: z.number(), missed: z.number() }),
});

const settingNames = Object.keys(pageSettings) as (keyof typeof pageSettings)[]; // its own keys
/** In the order that the document has published. */
const namesToRevert = settingNames.toSorted((a, b) => Number(a.startsWith('keep')) - Number(b.startsWith('keep')));
/** Body of `POST /config`: any of the settings, or `revert` with the names to set back to the start value. */
export const configChange = z.strictObject({
  ...z.strictObject(pageSettings).partial().shape,
  revert: z.array(z.enum(namesToRevert)).optional(),
});

export const config = z.object({
  ...pageSettings,
  changed: z.object(pageSettings).partial(),
  /** Nobody said the keep numbers: they hold as long as all copies together stay below a fifth of the disk. */
  keepIsDefault: z.boolean(),
  localPath: z.string(),
  databasePath: z.string(),
  cron: z.string().nullable(),
  s3: z.object({
    configured: z.boolean(),
    bucket: z.string().nullable(),
    region: z.string().nullable(),
    endpoint: z.string().nullable(),
  }),
});

export const backupResult = z.object({
  success: z.boolean(),
  filename: z.string().optional(),
  size: z.number().optional(),
  s3Uploaded: z.boolean().optional(),
  /** By the names of the targets beside the folder that are on. */
  uploaded: z.record(z.string(), z.boolean()).optional(),
  error: errorBody.optional(),
  report: run,
});

/**
 * `missing`: where the database's file is gone. Nothing is replaced, so nothing is confirmed; refused where there is one.
 * `fromOther`: a backup of another database is restored here only when this says so. `allowPlain`: so is a copy that is not
 * encrypted, where copies at its target are to be.
 */
const restoreOptions = z.strictObject({
  /** The database's file name. */
  confirm: z.string().max(255).optional(),
  mode: z.enum(['online', 'offline', 'missing']).default('online'),
  expected: z.string().max(200).optional(),
  fromOther: z.boolean().optional(),
  allowPlain: z.boolean().optional(),
});
const isConfirmed = ({ mode, confirm }: z.output<typeof restoreOptions>) => mode === 'missing' || confirm !== undefined;
const unconfirmed = { path: ['confirm'], error: 'must be the name of the database, where one is replaced' };

export const restoreBody = restoreOptions.refine(isConfirmed, unconfirmed);
/** `POST /api/restore`: the same, of the backup that is meant. */
export const pointRestoreBody = restoreOptions
  .extend({ ...restorePoint, latest: z.literal(true).optional() })
  .refine(isConfirmed, unconfirmed)
  .refine(saysOnePoint, oneOfThree);
/** `POST /api/claim`: the folder, unless told. */
export const claimBody = z.strictObject({ target: targetName.optional() }).optional();
export const claimAnswer = z.object({
  target: targetName,
  place: z.string(),
  /** False where the place was ours already, or is of nobody yet. */
  changed: z.boolean(),
  /** Whose it was; null where it was of several, or of nobody. */
  before: otherDatabase.nullable(),
  databaseId: z.string().nullable(),
  /** Backups there that count as this database's by now, and those that stay as others'. */
  ours: z.number(),
  others: z.number(),
  /** Until then nothing is removed there that was made before the claim. */
  sparesUntil: time.nullable(),
});
export const undoBody = z.strictObject({
  confirm: z.string().max(255),
  mode: z.enum(['online', 'offline', 'missing']).default('online'),
});
export const restoreResult = z.object({
  success: z.boolean(),
  backup: z.string(),
  mode: z.enum(['file', 'online', 'offline', 'missing']),
  path: z.string(),
  /** Null where nothing was replaced. */
  safetyBackup: z.string().nullable(),
  report: run,
  moment: askedMoment.optional(),
});
export const verifyBody = z
  .strictObject({ full: z.boolean().default(false), allowPlain: z.boolean().optional() })
  .optional();
export const backupChange = z.strictObject({
  pinned: z.boolean().optional(),
  note: z.string().max(200).nullable().optional(),
});
const nameOrLatest = z.union([z.string().regex(backupName, 'the name of a backup, or latest'), z.literal('latest')]);
export const diffQuery = z.strictObject({ a: nameOrLatest, b: nameOrLatest });
/** `POST /api/loss/accept`; `ignore`: the tables are emptied regularly, nobody is told of them again. */
export const lossAnswer = z.strictObject({
  filename: z.string().regex(backupName, 'the name of a backup'),
  ignore: z.boolean().default(false),
});
/** `POST /api/loss/reopen`: takes an answer back. */
export const lossReopening = lossAnswer.omit({ ignore: true });
export const prunePlan = z.object({
  target: targetName,
  kept: z.array(z.object({ filename: z.string(), reasons: z.array(z.string()) })),
  removed: z.array(z.object({ filename: z.string(), reason: z.string() })),
  dryRun: z.boolean(),
});

/** `GET /api/doctor`, the worst first; `why` and `fix` are null where all is well. */
export const doctorReport = z.object({
  ok: z.boolean(),
  findings: z.array(
    z.object({
      code: z.string(),
      severity: z.enum(['ok', 'info', 'warning', 'problem']),
      what: z.string(),
      why: z.string().nullable(),
      fix: z.string().nullable(),
    }),
  ),
});

/** `POST /api/drill`: the newest backup of one target or of each is restored to a hidden place, judged and removed. */
export const drillBody = z
  .strictObject({ target: targetName.optional(), allowPlain: z.boolean().optional() })
  .optional();
/** A drill that fails is an answer, not an error. */
export const drillReport = z.object({
  ok: z.boolean(),
  drills: z.array(
    z.object({
      target: targetName,
      result: z.enum(['proven', 'sealed', 'failed', 'stopped']),
      backup: z.string().nullable(),
      sizeBytes: z.number().nullable(),
      ms: z.number(),
      assertions: z.number(),
      remarks: z.array(z.string()).optional(),
      error: errorBody.nullable(),
    }),
  ),
});

/** `POST /api/targets/:name/test`. A target that fails its test is an answer, not an error. */
export const targetReport = z.object({
  target: targetName,
  place: z.string(),
  ok: z.boolean(),
  ms: z.number(),
  findings: z.array(
    z.object({
      check: z.enum([
        ...(['write', 'head', 'read', 'list', 'private', 'delete', 'traces'] as const),
        ...(['clock', 'create-only', 'multipart', 'unfinished-uploads', 'versions'] as const),
        ...(['overwrite', 'lifecycle'] as const),
      ]),
      result: z.enum(['ok', 'warning', 'failed']),
      message: z.string(),
      hint: z.string().nullable(),
    }),
  ),
  /** An IAM document with the rights that the key needs; null for a folder. */
  policy: z
    .object({
      Version: z.literal('2012-10-17'),
      Statement: z.array(
        z.object({
          Sid: z.string(),
          Effect: z.literal('Allow'),
          Action: z.array(z.string()),
          Resource: z.string(),
          Condition: z.object({ StringLike: z.record(z.string(), z.array(z.string())) }).optional(),
        }),
      ),
    })
    .nullable(),
});

export const backupsAnswer = z.object({ backups: z.array(backup) });
export const runsAnswer = z.object({ runs: z.array(run) });
/** `POST /now?wait=false`, status 202. */
export const runAccepted = z.object({ runId: z.string() });
export const deleteAnswer = z.object({ deleted: z.string() });
/** `POST /api/restore/dismiss`: the verdict of the last restore is put away for all; false when there is none. */
export const dismissAnswer = z.object({ dismissed: z.boolean() });
export const stopAnswer = z.object({ stopped: z.boolean() });
/** Says whom the server takes the asker for, and whether `POST /logout` would change that. */
export const session = z.object({
  user: z.string().nullable(),
  canSignOut: z.boolean(),
  /** What can't be taken back wants the password first (`POST /confirm`). */
  needsPassword: z.boolean(),
});
/** `POST /confirm`: the password once more. */
export const confirmBody = z.strictObject({ password: z.string().max(1_024) });
export const confirmAnswer = z.object({ confirmed: z.boolean() });
/** One row of the audit record. */
export const auditEntry = z.object({
  at: time,
  /** Its name among several; null where there is one, and for what was done to all, such as signing in. */
  database: z.string().nullable(),
  act: z.enum([
    'sign-in',
    'sign-out',
    'confirm-password',
    'request',
    'download',
    'delete',
    'retention',
    'prune',
    'restore',
    'restore-if-missing',
    'undo',
    'settings',
    'pin',
    'unpin',
    'note',
    'adopt',
    'claim',
    'accept-loss',
    'mark',
    'pause',
    'resume',
    'reopen-loss',
    'stop',
  ]),
  user: z.string().nullable(),
  /** `service`: nobody asked. */
  via: z.enum(['page', 'api', 'cli', 'library', 'service']),
  address: z.string().nullable(),
  agent: z.string().nullable(),
  /** A backup, settings, the route that was refused. */
  subject: z.string().nullable(),
  target: targetName.nullable(),
  result: z.enum(['done', 'failed', 'stopped', 'refused']),
  code: z.enum(errorCodes).nullable(),
  detail: z.string().nullable(),
});
export const auditAnswer = z.object({ entries: z.array(auditEntry) });
/** `POST /logout`; false when there was no session. */
export const signOutAnswer = z.object({ signedOut: z.boolean() });
/** The word is open to all; the rest needs the right to read. */
export const health = z.object({
  status: z.enum(['ok', 'failing']),
  state: protectionState.optional(),
  verdict: verdictCode.optional(),
  lastGood: status.shape.lastGood.optional(),
  /** Where there are many; the rest is the worst of them. */
  databases: z
    .array(
      z.object({
        name: z.string(),
        status: z.enum(['ok', 'failing']),
        state: protectionState,
        verdict: verdictCode.nullable(),
        lastGoodAt: z.iso.datetime().nullable(),
      }),
    )
    .optional(),
});
/** The form of a database's name. */
export const databaseName = /^[a-z0-9][a-z0-9._-]*$/;
/** `GET /api/databases`: one where no list is configured. */
export const databasesAnswer = z.object({
  /** Whose routes answered; null at the top. */
  current: z.string().nullable(),
  databases: z.array(
    z.object({
      name: z.string(),
      /** Its page, below the first one. */
      page: z.string(),
      path: z.string(),
      exists: z.boolean(),
      state: protectionState,
      /** The verdict in a few words, and its colour. */
      label: z.string(),
      tone: status.shape.verdict.shape.tone,
      sizeBytes: z.number(),
      /** When the newest good backup was last known to be the whole truth. */
      lastGoodAt: z.iso.datetime().nullable(),
    }),
  ),
});
/** Query strings. */
export const nowQuery = z.object({
  wait: z.enum(['true', 'false']).default('true'),
});
export const deleteQuery = z.object({
  target: targetName.optional(),
});
export const activityQuery = z.object({ range: activityRange.default('24h') });
/** Which place's plan; that of S3 is made from a new listing. */
export const pruneQuery = z.object({
  target: targetName.default('local'),
});
export const runsQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

export const auditQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  /** No record from before that moment. */
  since: z.iso.datetime({ offset: true, local: false }).optional(),
});

export type AuditAnswer = z.infer<typeof auditAnswer>;
export type ConfirmAnswer = z.infer<typeof confirmAnswer>;
export type ErrorAnswer = z.infer<typeof errorAnswer>;
export type RunProgress = z.infer<typeof runProgress>;
export type Run = z.infer<typeof run>;
export type Backup = z.infer<typeof backup>;
export type BackupDiff = z.infer<typeof backupDiff>;
export type RestorePlan = z.infer<typeof restorePlan>;
export type Status = z.infer<typeof status>;
export type ConfigChange = z.infer<typeof configChange>;
export type Activity = z.infer<typeof activity>;
export type Config = z.infer<typeof config>;
export type BackupResult = z.infer<typeof backupResult>;
export type RestoreBody = z.input<typeof restoreBody>;
export type ClaimAnswer = z.infer<typeof claimAnswer>;
export type RestoreResult = z.infer<typeof restoreResult>;
export type PrunePlan = z.infer<typeof prunePlan>;
export type BackupsAnswer = z.infer<typeof backupsAnswer>;
export type RunsAnswer = z.infer<typeof runsAnswer>;
export type RunAccepted = z.infer<typeof runAccepted>;
export type DeleteAnswer = z.infer<typeof deleteAnswer>;
export type DismissAnswer = z.infer<typeof dismissAnswer>;
export type StopAnswer = z.infer<typeof stopAnswer>;
export type Session = z.infer<typeof session>;
export type SignOutAnswer = z.infer<typeof signOutAnswer>;
export type DoctorReport = z.infer<typeof doctorReport>;
export type DrillReport = z.infer<typeof drillReport>;
export type TargetReport = z.infer<typeof targetReport>;
export type DatabasesAnswer = z.infer<typeof databasesAnswer>;
export type Health = z.infer<typeof health>;

function saysOnePoint({
  backup,
  latest,
  at,
}: {
  readonly backup?: unknown;
  readonly latest?: unknown;
  readonly at?: unknown;
}): boolean {
  return [backup, latest, at].filter((said) => said !== undefined).length === 1;
}
