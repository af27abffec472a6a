/**
 *     bun tests/torture/continuous.ts --minutes 30 --seed 7 [--scenario vacuum,spill] [--megabytes-max 100]
 *
 * See `continuous-suite.ts`. Ends with code 0 only when it captured, killed and restored, and all moments were
 * what was promised.
 */
import { parseArgs } from 'node:util';
import { capturedScenarios, emptyTally, playContinuous } from './continuous-suite.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    scenario: { type: 'string' },
    'round-seconds': { type: 'string', default: '15' },
    'megabytes-max': { type: 'string', default: '50' },
  },
});
const seconds = values.seconds ? Number(values.seconds) : Number(values.minutes ?? 1) * 60;
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const names = capturedScenarios.filter((name) => values.scenario?.split(',').includes(name) ?? true);
const startedMs = performance.now();
const tally = emptyTally();
console.log(`seed ${seed}, ${seconds} s: ${names.join(', ')}`);
for (let round = 1; performance.now() - startedMs < seconds * 1_000; round++) {
  const name = names[(round - 1) % names.length];
  if (name === undefined) throw new Error('no such scenario');
  const before = { ...tally, bad: tally.bad.length, rebased: { ...tally.rebased } };
  await playContinuous(name, {
    ...{ seed: seed * 1_000 + round, seconds: Number(values['round-seconds']), tally },
    sizeBytesMax: Number(values['megabytes-max']) * 1024 * 1024,
  });
  const { captures, restores, kills, rebased, commits } = tally;
  console.log(
    `${String(round).padStart(4)} ${name.padEnd(14)} ${captures - before.captures} captures, ${restores - before.restores} restores, ` +
      `${kills - before.kills} kills, ${commits - before.commits} commits`,
  );
  for (const [reason, count] of Object.entries(rebased))
    if (count > (before.rebased[reason] ?? 0))
      console.log(`       compared ${count - (before.rebased[reason] ?? 0)} times: ${reason}`);
  for (const what of tally.bad.slice(before.bad)) console.log(`  BAD ${what}`);
}
console.log(JSON.stringify({ ...tally, bad: tally.bad.length }));
const isPlayed = Math.min(tally.restores, tally.captures, tally.kills, tally.commits) > 0;
process.exitCode = isPlayed && tally.bad.length === 0 ? 0 : 1;
