/** A short form of `planted.ts`: every patch fits, and a few faults are caught. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { plantedFaults } from './planted-faults.ts';
import { type Catcher, makeTestBuild, patched } from './test-build.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('each fault can be planted in the sources as they are, and has a name of its own', () => {
  for (const { patches } of plantedFaults) {
    const files = new Map<string, string>();
    for (const patch of patches) {
      const source = files.get(patch.file) ?? readFileSync(join(root, patch.file), 'utf8');
      files.set(patch.file, patched(source, patch));
    }
    expect(files.size).toBeGreaterThan(0);
  }
  expect(new Set(plantedFaults.map(({ name }) => name)).size).toBe(plantedFaults.length);
});

test('a patch that fits nowhere, or twice, is an error', () => {
  const patch = { file: 'a.ts', from: 'one', to: 'two' };
  expect(patched('this one', patch)).toBe('this two');
  expect(() => patched('nothing', patch)).toThrow('fits 0 times');
  expect(() => patched('one, one', patch)).toThrow('fits 2 times');
});

test('a fault of each kind of catcher is caught, and the sound build is not', async () => {
  using build = makeTestBuild();
  for (const kind of ['test', 'torture', 'kills'] as const) {
    const fault = plantedFaults.find(({ caughtBy }) => caughtBy.kind === kind);
    if (!fault) throw new Error(`no fault is caught by ${kind}`);
    if (kind === 'test') expect((await build.run(fault.caughtBy)).status).toBe('sound');
    build.plant(fault.patches);
    expect([fault.name, (await build.run(patient(fault.caughtBy))).status]).toEqual([fault.name, 'caught']);
    build.restore();
  }
}, 900_000);

/** How the processes meet is the machine's own, and each suite ends as soon as it has found something: it may look for long. */
function patient(catcher: Catcher): Catcher {
  if (catcher.kind === 'torture') return { ...catcher, seconds: 300 };
  return catcher.kind === 'kills' ? { ...catcher, kills: 300 } : catcher;
}
