/**
 * Plants each fault of `planted-faults.ts` in a test build, and runs the suite that must catch it. What catches it has to
 * be quiet about the same build without the fault; that is tried first, once for each catcher.
 *
 *     bun tests/torture/planted.ts [--only 'pin,log header'] [--list] [--verbose] [--repeat 3]
 *
 * Ends with code 0 only when every fault was caught.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { plantedFaults } from './planted-faults.ts';
import { type Catcher, makeTestBuild, type PlantedFault, type TestBuild } from './test-build.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '1' },
    folder: { type: 'string', default: tmpdir() },
  },
});

const words = values.only?.split(',');
const chosen = plantedFaults.filter(({ name }) => words?.some((word) => name.includes(word)) ?? true);
if (chosen.length === 0) throw new Error('no fault has such a name; --list shows them');
if (values.list) for (const { name, caughtBy } of chosen) console.log(`${name.padEnd(66)} ${nameOf(caughtBy)}`);
else process.exitCode = await plantAll();

async function plantAll(): Promise<number> {
  const startedMs = performance.now();
  let caught = 0;
  const uncaught: string[] = [];
  using build = makeTestBuild(values.folder);
  const unsound = await findUnsound(build);
  for (const fault of chosen) {
    if (!unsound.has(nameOf(fault.caughtBy)) && (await isCaught(build, fault))) caught++;
    else uncaught.push(fault.name);
  }
  if (uncaught.length > 0) console.log(`\nnot caught: ${uncaught.join('; ')}`);
  console.log(`\n${caught} of ${chosen.length} planted faults caught in ${secondsSince(startedMs)} s`);
  return uncaught.length === 0 ? 0 : 1;
}

/** Catchers that complain about the sound build, or can't run here: they prove nothing. */
async function findUnsound(build: TestBuild): Promise<ReadonlySet<string>> {
  const unsound = new Set<string>();
  for (const [name, catcher] of new Map(chosen.map(({ caughtBy }) => [nameOf(caughtBy), caughtBy]))) {
    const { status, output } = await build.run(catcher);
    if (status === 'sound') continue;
    unsound.add(name);
    console.log(`without a fault: ${name}: ${status}\n${output}`);
  }
  return unsound;
}

async function isCaught(build: TestBuild, fault: PlantedFault): Promise<boolean> {
  for (let time = 1; time <= Number(values.repeat); time++) {
    const startedMs = performance.now();
    build.plant(fault.patches);
    const verdict = await build.run(fault.caughtBy);
    build.restore();
    const isIt = verdict.status === 'caught';
    console.log(`${isIt ? 'caught    ' : 'NOT CAUGHT'} ${fault.name} (${secondsSince(startedMs)} s)`);
    if (isIt) console.log(`           ${verdict.how.slice(0, 160)}`);
    if (!isIt || values.verbose) console.log(`${nameOf(fault.caughtBy)}: ${verdict.status}\n${verdict.output}`);
    if (!isIt) return false;
  }
  return true;
}

function nameOf(catcher: Catcher): string {
  switch (catcher.kind) {
    case 'test':
      return `${catcher.file}: ${catcher.name}`;
    case 'torture':
      return `torture ${catcher.scenario}, ${catcher.seconds} s, seed ${catcher.seed}`;
    case 'kills':
      return `kills of ${catcher.of}, ${catcher.kills}, seed ${catcher.seed}`;
  }
}

function secondsSince(startedMs: number): string {
  return ((performance.now() - startedMs) / 1_000).toFixed(1);
}
