/**
 * What `restore --online`, `restore --in-place` and `undo` do: they show the plan, ask the person at the terminal, and only
 * then replace the database. `--yes` answers for a script that has a terminal, `--dry-run` ends after the plan. Where
 * nobody can be asked (no terminal), nothing is: a safety backup is made, and `undo` is the way back.
 */
import type {
  AskedMoment,
  PlannedMode,
  ReplacingMode,
  RestorePlan,
  RestoreResult,
  RunProgress,
  TargetName,
} from '../../service/model.ts';
import type { BackupServicePort } from '../../service/service-port.ts';
import { type Output, sizeText } from '../output.ts';
import type { Ask } from '../session.ts';
import { BackupError } from '../../words/errors.ts';
import { NOTHING_TO_UNDO } from '../../service/protection/missing.ts';
import { table } from '../text/tables.ts';

export interface ReplaceOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

interface Replacing {
  /** A backup's name, or the path of any SQLite file. */
  readonly source: string;
  readonly mode: ReplacingMode;
  readonly copy: {
    readonly from?: TargetName | undefined;
    readonly identity?: string | undefined;
    readonly allowPlain?: boolean | undefined;
    readonly onProgress?: (run: RunProgress) => void;
  };
  readonly replace: (given: ReplaceGiven) => Promise<RestoreResult>;
  /** What is said before the plan, as a part of it. */
  readonly about?: readonly string[];
  /** What the moment that was asked for was taken for. */
  readonly moment?: Pick<RestoreResult, 'moment'>;
}

/** What the plan says of how to do it. */
export interface ReplaceGiven {
  readonly mode: PlannedMode;
  readonly expected: string | undefined;
}

/** What `--dry-run` answers with `--json`. */
interface DryRun {
  readonly dryRun: true;
  readonly mode: PlannedMode | 'file';
  readonly backup: string;
  /** What would be written. */
  readonly path: string;
  /** Null for a new file: nothing is replaced. */
  readonly plan: RestorePlan | null;
  /** If a moment was asked for. */
  readonly moment?: AskedMoment;
}

/** Null after a dry run. */
export async function replaceDatabase(
  service: BackupServicePort,
  { source, mode: wanted, copy, replace, about = [], moment = {} }: Replacing,
  options: ReplaceOptions,
  { output, ask }: { readonly output: Output; readonly ask: Ask | undefined },
): Promise<RestoreResult | null> {
  const plan = await service.planRestore(source, { ...copy, mode: wanted });
  // A file that appears from now on was not in the plan: it is not replaced. Online there must be one.
  const mode = plan.mode === 'missing' && wanted === 'offline' ? 'missing' : wanted;
  if (options.dryRun) {
    const { databasePath: path } = service.getConfig();
    const text = [...about, planText(plan, output.width)].join('\n');
    answerDryRun(output, { dryRun: true, mode, backup: plan.backup, path, plan, ...moment }, text);
    return null;
  }
  // Where there is no file, nothing is replaced.
  const isAsked = ask !== undefined && options.yes !== true && mode !== 'missing';
  // A question without its plan would be none, so `--quiet` doesn't hush it.
  (isAsked ? output.warn : output.note)([...about, planText(plan, output.noteWidth)].join('\n'));
  if (isAsked) await confirm(plan, ask);
  // A database in use changes with every commit; what is committed meanwhile is in the safety backup.
  return await replace({ mode, expected: mode === 'offline' ? plan.expected : undefined });
}

export function answerDryRun(output: Output, document: DryRun, text: string): void {
  output.answer(document, text);
}

/** @throws BackupError ABORTED unless the answer is yes. RESTORE_IN_USE where a yes would be refused anyway. */
async function confirm(plan: RestorePlan, ask: Ask): Promise<void> {
  if (plan.mode === 'offline' && plan.openIn.length > 0) {
    const holders = plan.openIn.map(({ name, pid }) => `${name} (process ${pid})`).join(', ');
    throw new BackupError('RESTORE_IN_USE', `${plan.confirm} is open in ${holders}`, {
      hint: 'Nothing was changed. Stop it and try again, or restore with --online: that works while it runs.',
    });
  }
  if (await ask(`Replace ${plan.confirm}? [y/N] `)) return;
  throw new BackupError('ABORTED', 'nothing was changed: the answer was not yes', {
    hint: 'Give the command again, or with --yes where nobody shall be asked.',
  });
}

function planText(plan: RestorePlan, width: number | undefined): string {
  const lines = [`Restoring ${plan.backup} ${whereText(plan)}.`];
  if (plan.now) lines.push(`now:   ${sizeText(plan.now.sizeBytes)}, changed ${plan.now.changedAt.toISOString()}`);
  else lines.push(`now:   no file. ${NOTHING_TO_UNDO}`);
  lines.push(
    `after: ${sizeText(plan.after.sizeBytes)}, from ${plan.after.createdAt.toISOString()}${plan.after.verified ? '' : ', not verified yet'}`,
  );
  if (plan.tables && plan.tables.length > 0) {
    const rows = plan.tables.map(({ name, now, after }) => [name, String(now ?? '-'), String(after ?? '-')]);
    lines.push(table(['TABLE', 'ROWS NOW', 'ROWS AFTER'], rows, { width }));
  }
  if (plan.undo) lines.push('What is there now becomes a safety backup first; `velist-backup undo` brings it back.');
  if (plan.undo && plan.mode === 'offline')
    lines.push('If it turns out to be damaged, its files are set aside instead.');
  return [...lines, ...plan.warnings.map((warning) => `Warning: ${warning}`)].join('\n');
}

function whereText({ mode, confirm }: RestorePlan): string {
  if (mode === 'missing') return `to the place of ${confirm}`;
  return mode === 'offline' ? `over ${confirm}` : `over ${confirm}, while it is in use`;
}

export function restoredText(result: RestoreResult): string {
  const safety = result.safetyBackup
    ? `\nWhat was there before is kept as ${result.safetyBackup}; \`velist-backup undo\` brings it back.`
    : '';
  const missing = result.mode === 'missing' ? `, which was missing. ${NOTHING_TO_UNDO}` : '';
  return `Restored ${result.backup} to ${result.path}${missing}${safety}`;
}
