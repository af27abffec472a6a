/** Retention at a target while what others made is spared. */
import { expect, test } from 'bun:test';
import { manifestOf } from '../../tests/support/scratch.ts';
import type { Manifest } from './catalog/manifest.ts';
import { planRemoteRetention } from './prune-remote.ts';

const now = new Date('2026-03-01T12:00:00Z');
const policy = { count: 2, startBurstMs: 1 };
let sequence = 0;

function made(day: number, installation: string | null) {
  const at = new Date(Date.UTC(2026, 1, day));
  const madeBy = installation === null ? {} : { madeBy: { installation, host: 'a host' } };
  const manifest: Manifest = { ...manifestOf(at), sequence: ++sequence, ...madeBy };
  return { name: manifest.name, manifest, fault: null };
}

const plan = (entries: readonly ReturnType<typeof made>[], sparesAllBut: string | null) => {
  const { kept, removed } = planRemoteRetention(entries, policy, {
    pins: new Map(),
    ownership: null,
    now,
    sparesAllBut,
  });
  const day = (name: string) => Number(name.slice(15, 17));
  return {
    kept: kept.map(({ backup, reasons }) => `${day(backup.name)}: ${reasons.at(-1)}`),
    removed: removed.map(({ backup }) => day(backup.name)),
  };
};

test('only our own are counted and removed; what others made, or nobody knows who, stays', () => {
  const entries = [
    made(1, 'ours'),
    made(2, 'theirs'),
    made(3, null),
    made(4, 'ours'),
    made(5, 'theirs'),
    made(6, 'ours'),
  ];
  const others = 'made by another installation, and this one took over a short while ago';
  expect(plan(entries, 'ours')).toEqual({
    kept: [
      ...['6: one of the newest 2 (1)', `5: ${others}`, '4: one of the newest 2 (2)'],
      ...[`3: ${others}`, `2: ${others}`],
    ],
    removed: [1],
  });
});

test('afterwards all of them count alike', () => {
  const entries = [made(1, 'ours'), made(2, 'theirs'), made(3, null), made(4, 'ours')];
  expect(plan(entries, null)).toEqual({
    kept: ['4: one of the newest 2 (1)', '3: one of the newest 2 (2)'],
    removed: [2, 1],
  });
});
