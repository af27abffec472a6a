/** What is set up from the page where the environment does not say it. Secrets come in and never go out. */
import { z } from 'zod';
import { s3Place, setUp } from '../../config/page-settings.ts';
import { errorBody } from './common.ts';
import { finding, policyDocument, targetReport } from './targets.ts';

export { s3Place, setUp };

export const setUpPart = z.enum(['s3', 'folder', 'webhook', 'heartbeat']);

const shownPart = z.object({
  /** `environment` stands for the app's code, too. */
  setBy: z.enum(['environment', 'page']).nullable(),
  variable: z.string(),
  /** What follows the server in the address of a webhook is left out. */
  where: z.string().nullable(),
  /** Why what the page set up is not in use. */
  complaint: z.string().nullable(),
});

/** `GET /api/set-up` */
export const shownSetUp = z.object({
  s3: shownPart,
  folder: shownPart,
  webhook: shownPart,
  heartbeat: shownPart,
  /** As the page set it up, for its form. */
  bucket: z
    .object({
      bucket: z.string(),
      region: z.string(),
      endpoint: z.string().nullable(),
      accessKey: z.string(),
      lifecycleDays: z.number().nullable(),
    })
    .nullable(),
  s3Path: z.string(),
  file: z.object({ path: z.string(), complaint: z.string().nullable() }),
});

/** `POST /api/set-up/plan` */
export const plannedSetUp = z.object({
  where: z.string(),
  host: z.string(),
  isPlain: z.boolean(),
  policy: policyDocument.nullable(),
});

/** A line of the answer to `POST /api/set-up/test`: findings one by one, then the report or an error. */
export const setUpLine = z.union([
  z.object({ finding }),
  z.object({ report: targetReport }),
  z.object({ error: errorBody }),
]);

export type SetUp = z.infer<typeof setUp>;
export type S3Place = z.input<typeof s3Place>;
export type ShownSetUp = z.infer<typeof shownSetUp>;
export type PlannedSetUp = z.infer<typeof plannedSetUp>;
export type SetUpLine = z.infer<typeof setUpLine>;
export type Finding = z.infer<typeof finding>;
