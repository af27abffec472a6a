/**
 * Writes the faults between us and an S3 server as a table, from real runs on Ceph RGW: what became of the upload or
 * the download, and what was said.
 *
 *     bun tests/deep/fault-table.ts --markdown docs/s3-faults.md
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { whyNoRgw } from '../support/rgw.ts';
import { fetchCases, uploadCases } from './fault-cases.ts';
import { checkFaultCase, createFaultWorld, type FaultCase, type FaultWorld, patience } from './fault-scene.ts';

const { values } = parseArgs({ options: { markdown: { type: 'string' } } });
const missing = whyNoRgw();
if (missing !== null) throw new Error(missing);

const world = await createFaultWorld();
try {
  const version = /version (\S+)/.exec(await world.server.admin('--version'))?.[1] ?? '';
  const text = [
    '# What happens to an upload and a restore when something goes wrong',
    [
      'No fault leaves an object that passes for a backup, and the next try succeeds. This page is written by',
      `\`bun tests/deep/fault-table.ts --markdown docs/s3-faults.md\` on Ceph RGW ${version}: a proxy in front of the server, or the`,
      'server itself, makes one thing go wrong, and the real job meets it. The same cases run as tests. Each run is checked for',
      'more than the table shows: no short or changed object under a backup’s name, a manifest only if the job succeeded, no key',
      'with another name, and a next try that succeeds.',
    ].join('\n'),
    [
      `In the tests a request is tried ${patience.maxAttempts} times and abandoned after ${patience.requestTimeoutMs / 1000} s without a byte; in normal use it is 6 times and`,
      '60 s. “For ever” means until the job gives up; the upload then waits and is tried again with growing delays.',
    ].join('\n'),
    '## Upload of a backup of three parts',
    await tableOf(uploadCases, world),
    '## Download of a backup, to be restored',
    await tableOf(fetchCases, world),
  ].join('\n\n');
  if (values.markdown) writeFileSync(values.markdown, `${text}\n`);
  else console.log(text);
} finally {
  await world.close();
}

async function tableOf(cases: readonly FaultCase[], { server }: FaultWorld): Promise<string> {
  const rows: string[] = ['| what goes wrong | outcome | code | what is said |', '|---|---|---|---|'];
  for (const faultCase of cases) {
    const { error, outcome } = await checkFaultCase(world, faultCase);
    const said = error ? `${error.message}. ${error.hint}` : '';
    const cells = [faultCase.name, outcome, error?.code ?? 'done', said];
    rows.push(`| ${cells.map((cell) => toCell(cell, server.endpoint)).join(' | ')} |`);
    if (values.markdown) console.log(`${faultCase.job}: ${faultCase.name}: ${outcome}`);
  }
  return rows.join('\n');
}

/** Ports and the moment in a backup's name are another at each run. */
function toCell(text: string, endpoint: string): string {
  return text
    .replaceAll(new URL(endpoint).host, 's3.example.com')
    .replaceAll(/127\.0\.0\.1:\d+/g, 's3.example.com')
    .replaceAll(/backup-\d{4}-[\dTZ-]+\.sqlite/g, 'backup-….sqlite')
    .replaceAll('|', '\\|')
    .replaceAll('\n', '⏎');
}
