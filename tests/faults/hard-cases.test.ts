/** The hard cases as tests: each provokes one fault through a real service and looks at all that must hold. */
import { test } from 'bun:test';
import { checkHardCase } from './hard-cases.ts';
import { clockCases } from './hard-cases-clock.ts';
import { databaseCases } from './hard-cases-database.ts';
import { asideCases } from './hard-cases-aside.ts';
import { logCases } from './hard-cases-logs.ts';
import { diskCases } from './hard-cases-disk.ts';
import { neighbourCases } from './hard-cases-neighbours.ts';

for (const hardCase of [...diskCases, ...databaseCases, ...logCases, ...asideCases, ...neighbourCases, ...clockCases]) {
  test(hardCase.name, async () => void (await checkHardCase(hardCase)), 120_000);
}
