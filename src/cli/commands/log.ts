/** The run log: what was backed up, checked, restored and uploaded, and how it ended. */
import type { Run, RunKind } from '../../service/model.ts';
import { targetWord } from '../../words/target-word.ts';
import { exitCodes } from '../exit-codes.ts';
import { durationText, sizeText } from '../output.ts';
import { countOf, type Session } from '../session.ts';
import { table } from '../text/tables.ts';

export interface LogFlags {
  readonly limit?: string;
  readonly kind?: RunKind;
  readonly failed?: boolean;
}

const LIMIT = { usual: 20, most: 1_000 };

export async function showLog({ service, output }: Session, flags: LogFlags): Promise<number> {
  const { kind, failed } = flags;
  const limit = countOf(flags.limit, LIMIT);
  const runs = service.getRuns({ limit, ...(kind && { kind }), ...(failed && { result: 'failed' }) });
  output.answer({ runs }, logText(runs, output.width));
  return exitCodes.done;
}

function logText(runs: readonly Run[], width: number | undefined): string {
  if (runs.length === 0) return 'No runs are recorded.';
  const rows = runs.map((run) => [
    run.startedAt.toISOString().replace(/\.\d+Z$/, 'Z'),
    run.kind,
    run.result,
    tookText(run.endedAt.getTime() - run.startedAt.getTime()),
    run.user ?? run.trigger,
    whatText(run),
  ]);
  return table(['TIME', 'RUN', 'RESULT', 'TOOK', 'BY', 'WHAT'], rows, { width });
}

const tookText = (ms: number) => (ms < 1_000 ? `${ms} ms` : durationText(ms));

function whatText({ result, error, backup, sizeBytes, kind, target = 's3' }: Run): string {
  if (result === 'failed' || result === 'refused')
    return error === null ? 'no reason was given' : `${error.message} (${error.code})`;
  const to = kind === 'upload' ? ` to ${targetWord(target)}` : '';
  const size = sizeBytes === null ? '' : `, ${sizeText(sizeBytes)}`;
  return backup === null ? '' : `${backup}${to}${size}`;
}
