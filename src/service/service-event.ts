/** What the service tells its listeners. */
import type { TakenFrom } from './targets/shown-place.ts';
import type { Run, RunProgress } from '../words/run.ts';
import type { TargetName } from '../words/target-word.ts';

export type ServiceEvent =
  /** `elsewhere`: another process makes it, over the same backup folder. */
  | { readonly type: 'progress'; readonly run: RunProgress; readonly elsewhere?: true }
  | { readonly type: 'run'; readonly run: Run; readonly elsewhere?: true }
  /** What is at S3, or known of it, changed. */
  | { readonly type: 'backups' }
  /** This installation became the writer of a target where another one wrote until now. */
  | { readonly type: 'takeover'; readonly target: TargetName; readonly from: TakenFrom }
  | { readonly type: 'status' };
