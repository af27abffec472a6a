import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { unsupportedRuntime } from './runtime.ts';

test('the oldest runtimes are those of the package, and an older one is named', () => {
  const { engines }: { engines: Record<string, string> } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  expect(engines).toEqual({ node: '>=22.16', bun: '>=1.4.0' });
  for (const node of ['22.16.0', '22.20.1', '24.0.0', '26.10.0'])
    expect([node, unsupportedRuntime({ node })]).toEqual([node, null]);
  for (const node of ['20.20.2', '22.15.9', '8.0.0', ''])
    expect(unsupportedRuntime({ node })).toBe(
      `velist-backup needs Node 22.16 or newer, or Bun 1.4 or newer; this is Node ${node}.`,
    );
  expect(unsupportedRuntime({ node: '24.3.0', bun: '1.4.5' })).toBeNull();
  expect(unsupportedRuntime({ node: '24.3.0', bun: '1.3.9' })).toEndWith('this is Bun 1.3.9.');
  expect(unsupportedRuntime(process.versions)).toBeNull();
});
