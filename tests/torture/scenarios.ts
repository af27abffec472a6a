/** What the torture does to a database while it is backed up: one mixture of users per scenario, drawn from a seed. */
import type { ActorForm, Deed, WriterForm } from '../support/torture-actors.ts';
import type { LedgerForm } from '../support/torture-ledger.ts';
import type { Random } from '../support/torture-random.ts';

const MB = 1024 * 1024;
/** SQLite leaves the page at this offset unused, for its locks. */
const LOCK_BYTE = 1024 * MB;

export interface Scenario {
  readonly form: LedgerForm;
  readonly writers: readonly WriterTraits[];
  readonly others: readonly { readonly form: OtherForm; readonly runtime: 'bun' | 'node' }[];
  readonly special?: Special;
}

/** What sets the app apart from us. */
export type Special =
  /** It opens the database by another name, a hard link. A backup may be refused then. */
  | 'other name'
  /** Every few of its calls of `fsync` fail. */
  | 'failing fsync'
  /** It is another user's, as the database is. */
  | 'other user';

type WithoutPlace<Form> = Form extends unknown ? Omit<Form, 'path' | 'seed'> : never;
type OtherForm = WithoutPlace<Exclude<ActorForm, WriterForm>>;
export type WriterTraits = Pick<
  WriterForm,
  | 'deeds'
  | 'spillRowsMax'
  | 'cachePages'
  | 'synchronous'
  | 'autocheckpoint'
  | 'reopenChance'
  | 'perSecond'
  | 'busyTimeoutMs'
>;

export const scenarioNames = [
  'autocommit',
  'spill',
  'vacuum',
  'shrink',
  'checkpoints',
  'readers',
  'visitors',
  'savepoints',
  'tables',
  'empty',
  'rollback-journal',
  'modes',
  'idle',
  'impatient',
  'other-name',
  'failing-fsync',
  'other-user',
  'everything',
] as const;
export const largeScenarioNames = ['large', 'lock-byte'] as const;
export type ScenarioName = (typeof scenarioNames)[number] | (typeof largeScenarioNames)[number];

const everyDeed: Readonly<Record<Deed, number>> = {
  autocommit: 20,
  transfer: 20,
  spill: 3,
  reshape: 2,
  text: 5,
  savepoint: 2,
  rollback: 2,
  vacuum: 0.2,
  'incremental-vacuum': 1,
  'journal-mode': 0,
  'page-size': 0,
};

/** @param sizeMax bytes of the largest database, but for the large ones. */
export function drawScenario(name: ScenarioName, random: Random, options: { sizeBytesMax: number }): Scenario {
  const form: Omit<LedgerForm, 'writers'> = {
    sizeBytes: Math.floor(options.sizeBytesMax * random.pick([0.05, 0.2, 0.5, 1])),
    pageSize: random.pick([512, 1024, 4096, 4096, 8192, 16_384, 32_768, 65_536]),
    autoVacuum: random.pick(['none', 'none', 'full', 'incremental']),
    journalMode: 'wal',
  };
  const writer = (deeds: WriterTraits['deeds'], change: Partial<WriterTraits> = {}): WriterTraits => ({
    deeds,
    spillRowsMax: random.pick([50, 500, 2_000]),
    cachePages: random.pick([10, 10, 100, -2_000]),
    synchronous: random.pick(['OFF', 'NORMAL', 'NORMAL', 'FULL']),
    autocheckpoint: random.pick([0, 20, 1_000, 1_000]),
    reopenChance: random.pick([0, 0, 0.001]),
    perSecond: random.pick([0, 0, 300]),
    ...change,
  });
  const many = (count: number, make: () => WriterTraits) => Array.from({ length: count }, make);
  const checkpointer = other({ role: 'checkpointer', everyMs: random.pick([5, 50, 500]) });
  const reader = other({ role: 'reader', holdMsMax: random.pick([200, 2_000, 5_000]) });
  const visitors = [
    other({ role: 'visitor', everyMs: random.pick([0, 10, 100]) }),
    other({ role: 'visitor', everyMs: random.pick([0, 10, 100]) }, 'node'),
  ];
  const scenario = (
    writers: readonly WriterTraits[],
    others: Scenario['others'] = [],
    change: Partial<LedgerForm> = {},
    special?: Special,
  ): Scenario => ({
    form: { ...form, ...change, writers: writers.length },
    writers,
    others,
    ...(special && { special }),
  });
  const idler = other({ role: 'idler', connections: random.between(1, 4) }, random.pick(['bun', 'node']));

  switch (name) {
    case 'autocommit':
      return scenario(many(random.between(2, 4), () => writer({ autocommit: 10, transfer: 1 })));
    case 'spill':
      return scenario([
        // SQLite gives nobody a turn: beside two that spill and never rest, another one waits for minutes, also without us.
        ...many(2, () => writer({ spill: 1 }, { cachePages: 10, perSecond: 10 })),
        writer({ autocommit: 1 }),
      ]);
    case 'vacuum':
      return scenario(
        [writer({ vacuum: 1, reshape: 3, autocommit: 10 }, { perSecond: 20 }), writer({ transfer: 5, spill: 1 })],
        [reader],
      );
    case 'shrink':
      return scenario(
        many(2, () => writer({ reshape: 5, 'incremental-vacuum': 3, transfer: 10, vacuum: 0.1 }, { perSecond: 0 })),
        random.chance(0.5) ? [checkpointer] : [],
        { autoVacuum: random.pick(['full', 'incremental']) },
      );
    case 'checkpoints':
      return scenario(
        many(2, () => writer({ transfer: 10, spill: 1 })),
        [checkpointer, other({ role: 'checkpointer', everyMs: 20 })],
      );
    case 'readers':
      return scenario(
        many(2, () => writer({ transfer: 10, spill: 1, reshape: 0.2 })),
        [reader, reader, ...(random.chance(0.5) ? [checkpointer] : [])],
      );
    case 'visitors':
      // At most one writer, and it comes and goes: so that a visitor is the last to close, and takes the log away.
      return scenario(
        [writer({ autocommit: 10, transfer: 10, spill: 1 }, { reopenChance: random.pick([0.05, 0.5]) })],
        visitors,
      );
    case 'savepoints':
      return scenario(many(2, () => writer({ savepoint: 5, rollback: 5, transfer: 10 }, { cachePages: 10 })));
    case 'tables':
      return scenario(many(2, () => writer({ text: 10, autocommit: 5, spill: 0.5 })));
    case 'empty':
      return scenario(
        [writer({ autocommit: 5, transfer: 5, reshape: 1, vacuum: 0.1 }, { reopenChance: random.pick([0, 0.05]) })],
        random.chance(0.5) ? [checkpointer] : visitors,
        { sizeBytes: 0 },
      );
    case 'rollback-journal':
      return scenario(
        many(2, () => writer({ transfer: 10, spill: 1, reshape: 0.5 }, { perSecond: random.pick([20, 200]) })),
        random.chance(0.5) ? [visitors[0] ?? checkpointer] : [],
        { journalMode: random.pick(['delete', 'truncate', 'persist']) },
      );
    case 'modes':
      // A mode can be left only by one who is alone, so there is one writer, and visitors at most.
      return scenario(
        [writer({ 'journal-mode': 5, 'page-size': 1, transfer: 20, spill: 1 }, { perSecond: random.pick([100, 300]) })],
        random.chance(0.5) ? [visitors[0] ?? checkpointer] : [],
        { sizeBytes: Math.floor(options.sizeBytesMax * 0.05), journalMode: random.pick(['wal', 'delete']) },
      );
    case 'idle':
      return scenario(
        [writer({ autocommit: 10, transfer: 10, spill: 1 }, { reopenChance: random.pick([0, 0.05]) })],
        [idler, ...(random.chance(0.5) ? [checkpointer] : [])],
        { journalMode: random.pick(['wal', 'wal', 'delete']) },
      );
    case 'impatient':
      return scenario([writer({ autocommit: 10, transfer: 10 }, { busyTimeoutMs: 0, reopenChance: 0, perSecond: 0 })]);
    case 'other-name':
      return scenario(
        [writer({ autocommit: 10, transfer: 10, spill: 1 }, { reopenChance: random.pick([0, 0.05, 0.5]) })],
        random.chance(0.5) ? [reader] : [],
        { journalMode: random.pick(['wal', 'wal', 'delete']) },
        'other name',
      );
    case 'failing-fsync':
      // The reader keeps the log from being merged, so that a copy needs it.
      return scenario(
        [writer({ autocommit: 10, transfer: 10 }, { synchronous: 'FULL', reopenChance: 0, perSecond: 30 })],
        [reader],
        { sizeBytes: Math.floor(options.sizeBytesMax * 0.05) },
        'failing fsync',
      );
    case 'other-user':
      return scenario(
        many(2, () => writer({ transfer: 10, spill: 1 }, { reopenChance: random.pick([0, 0.05]) })),
        [...(random.chance(0.5) ? [visitors[0] ?? checkpointer] : []), idler],
        { journalMode: random.pick(['wal', 'wal', 'delete']) },
        'other user',
      );
    case 'everything':
      return scenario(
        many(random.between(2, 4), () => writer(everyDeed)),
        [checkpointer, reader, ...visitors, idler],
      );
    case 'large':
      return scenario([writer(largeDeeds), writer(largeDeeds, { perSecond: 300 })], [checkpointer, reader], {
        sizeBytes: 500 * MB,
        pageSize: random.pick([1024, 4096, 65_536]),
      });
    case 'lock-byte':
      return scenario([writer(largeDeeds), writer(largeDeeds, { perSecond: 300 })], [checkpointer], {
        sizeBytes: Math.floor(LOCK_BYTE * 1.1),
        pageSize: random.pick([1024, 4096, 65_536]),
      });
  }
}

const largeDeeds = { autocommit: 20, transfer: 20, spill: 3, text: 3, savepoint: 1 };

function other(form: OtherForm, runtime: 'bun' | 'node' = 'bun'): Scenario['others'][number] {
  return { form, runtime };
}
