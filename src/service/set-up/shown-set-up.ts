/** What is told of what was set up: everything but secrets. */
import type { SetUp } from '../../config/page-settings.ts';
import type { PolicyDocument } from '../../engine/store/s3/policy.ts';

export type SetUpPart = SetUp['part'];

export interface ShownPart {
  /** `environment` stands for the app's code, too: it wins, and is changed there. Null: nobody did. */
  readonly setBy: 'environment' | 'page' | null;
  /** The variable that stands for it in the environment. */
  readonly variable: string;
  /** `s3://bucket/path`, the folder, or the beginning of an address whose rest is a secret. */
  readonly where: string | null;
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
