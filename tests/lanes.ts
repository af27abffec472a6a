/** The lanes of the tests, by folder: what `npm run test:fast` and its siblings run, and `npm test` as their sum. */
export const lanes = ['fast', 'service', 'page', 's3', 'package', 'faults'] as const;
export type Lane = (typeof lanes)[number];

export const testFolders: Readonly<Record<Lane, readonly string[]>> = {
  fast: ['src'],
  service: ['tests/service', 'tests/cli', 'tests/engine'],
  page: ['tests/http', 'tests/e2e'],
  s3: ['tests/s3', 'tests/contracts', 'tests/hostile-bucket', 'tests/deep'],
  package: ['tests/runtime', 'tests/docs', 'tests/upgrade'],
  faults: ['tests/faults', 'tests/identity', 'tests/apps', 'tests/torture'],
};
