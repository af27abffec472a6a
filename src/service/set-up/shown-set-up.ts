/** What is set up from the page, as it is asked for, and what is told of it: everything but secrets. */
import type { S3Place, SetUp } from '../../config/page-settings.ts';
import type { TargetReport } from '../../engine/store/self-test.ts';
import type { PolicyDocument } from '../../engine/store/s3/policy.ts';

import type { Finding } from '../../words/story.ts';

export interface SetUpPort {
  /** Tells who set up the targets, the webhook and the heartbeat, and where they are; no secret is in it. */
  show(): ShownSetUp;
  /** What a bucket would come to, before it is asked. Throws BAD_CONFIG. */
  plan(place: S3Place): Promise<PlannedSetUp>;
  /** Tries what a person is about to set up, and keeps nothing of it. What fails is in the report. Throws BAD_CONFIG. */
  test(given: SetUp, options?: TestOptions): Promise<TargetReport>;
  /** The same, and if all that is needed works (`ok`), it is kept in the credentials file and in use from now on. */
  save(given: SetUp): Promise<TargetReport>;
  /** What was set up on the page is no longer in use; what is stored there stays. BAD_CONFIG for the environment's. */
  remove(part: SetUpPart): Promise<void>;
}

export interface TestOptions {
  readonly signal?: AbortSignal;
  readonly onFinding?: (finding: Finding) => void;
}

export type SetUpPart = SetUp['part'];

export interface ShownPart {
  /** `environment` stands for the app's code, too: it wins, and is changed there. Null: nobody did. */
  readonly setBy: 'environment' | 'page' | null;
  /** The variable that stands for it in the environment. */
  readonly variable: string;
  /** `s3://bucket/path`, the folder, or the beginning of an address whose rest is a secret. */
  readonly where: string | null;
  /** Why what the page set up is not in use; null when it is. */
  readonly complaint: string | null;
}

export interface ShownSetUp extends Readonly<Record<SetUpPart, ShownPart>> {
  /** The bucket as the page has it, for its form; null for the environment's. */
  readonly bucket: {
    readonly bucket: string;
    readonly region: string;
    readonly endpoint: string | null;
    readonly accessKey: string;
    readonly lifecycleDays: number | null;
  } | null;
  /** The prefix that a bucket would get. */
  readonly s3Path: string;
  /** The file that keeps what the page sets up. */
  readonly file: { readonly path: string; readonly complaint: string | null };
}

export interface PlannedSetUp {
  readonly where: string;
  /** The server that is asked. */
  readonly host: string;
  /** Over plain http anybody on the way reads along. */
  readonly isPlain: boolean;
  /** The rights that the key needs and no more. */
  readonly policy: PolicyDocument | null;
}
