/** A short, seeded form of `kills.ts`, which does the same hundreds of times. */
import { expect, test } from 'bun:test';
import { scratchFolders } from '../support/scratch.ts';
import { runKills } from './kills-suite.ts';

const newFolder = scratchFolders();

test('a job killed at 24 random moments loses no commit, lists no half backup, restores all or nothing', async () => {
  const { kills, losses } = await runKills({
    kills: 24,
    seed: 2,
    folder: newFolder(),
    megabytesMax: 8,
    kinds: ['backup', 'online', 'offline', 'file'],
    log: () => {},
  });
  expect({ kills, losses }).toEqual({ kills: 24, losses: [] });
}, 240_000);
