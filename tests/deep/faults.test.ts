/** Faults on the way to a real S3 server, as tests: the real jobs run into each, and all that must hold is looked at. */
import { afterAll, beforeAll, describe, setDefaultTimeout, test } from 'bun:test';
import { whyNoRgw } from '../support/rgw.ts';
import { fetchCases, uploadCases } from './fault-cases.ts';
import { checkFaultCase, createFaultWorld, type FaultWorld } from './fault-scene.ts';

setDefaultTimeout(120_000);

const missing = whyNoRgw();
if (missing !== null) console.warn(missing);

describe.skipIf(missing !== null)('on the way to Ceph RGW', () => {
  let world: FaultWorld;
  beforeAll(async () => {
    world = await createFaultWorld();
  });
  afterAll(() => world?.close());

  for (const faultCase of [...uploadCases, ...fetchCases]) {
    test(`${faultCase.job}: ${faultCase.name}`, async () => void (await checkFaultCase(world, faultCase)));
  }
});
