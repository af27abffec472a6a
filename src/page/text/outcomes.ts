/** The short messages that say how it went, by what was done. */
import type { Backup, DrillReport, Run } from '../../http/contract.ts';
import { duration, plural, sentence, size } from './format.ts';
import { targetPhrase, targetWord } from './targets.ts';

export interface Outcome {
  readonly tone: 'good' | 'bad' | 'plain';
  readonly title: string;
  readonly lines: readonly string[];
  /** A file name or a code, shown in code. */
  readonly code?: string;
}

export const nothingStoppedText: Outcome = {
  tone: 'plain',
  title: 'Nothing was stopped',
  lines: ['The run has just ended, or it belongs to another program: stop it there.'],
};

export const tooFarBackText: Outcome = {
  tone: 'plain',
  title: 'That run is older than the run log',
  lines: [],
};

export function drillText({ target, result, ms, error }: DrillReport['drills'][number]): Outcome {
  const where = targetWord(target);
  const lines = error === null ? [] : [sentence(error.message), sentence(error.hint)];
  switch (result) {
    case 'proven':
      return { tone: 'good', title: `${where}: a restore works`, lines: [`It took ${duration(ms)}.`] };
    case 'sealed':
      return {
        tone: 'plain',
        title: `${where}: the copy is intact`,
        lines: ['It is encrypted and the key is not on this server, so its content was not opened.'],
      };
    case 'refused':
      return { tone: 'plain', title: `${where}: not begun`, lines };
    default:
      return { tone: 'bad', title: `${where}: ${result === 'failed' ? 'a restore fails' : 'stopped'}`, lines };
  }
}

/** Null if the check came to no result. */
export function checkedText({ filename: code, verification }: Backup): Outcome | null {
  switch (verification.state) {
    case 'verified': {
      const check = verification.method === 'full' ? 'full integrity check' : 'quick check';
      const lines = [`It opens and passed its ${check}.`, ...verification.remarks.map(sentence)];
      return { tone: 'good', title: 'Verified', lines, code };
    }
    case 'damaged':
      return { tone: 'bad', title: 'This backup is damaged', lines: [sentence(verification.detail)], code };
    default:
      return null;
  }
}

export function checkedAllText(found: { verified: number; damaged: number; unknown: number }): Outcome {
  const { verified, damaged, unknown } = found;
  const rest = [
    ...(damaged > 0 ? [`${plural(damaged, 'backup')} did not pass.`] : []),
    ...(unknown > 0 ? [`${plural(unknown, 'backup')} could not be checked.`] : []),
  ];
  return {
    tone: rest.length > 0 ? 'bad' : 'good',
    title: `${plural(verified, 'backup')} verified`,
    lines: rest.length > 0 ? rest : ['All backups on this machine open and passed their quick check.'],
  };
}

const notBegun = { tone: 'plain', title: 'No backup was begun' } as const;

/** The answer to a backup that this page asked for; null if it was stopped. */
export function backupText(run: Run): Outcome | null {
  if (run.result === 'failed' || run.result === 'refused') {
    const lines = [sentence(run.error?.message ?? 'the server gave no reason'), sentence(run.error?.hint ?? '')];
    const how = run.result === 'failed' ? ({ tone: 'bad', title: 'Backup failed' } as const) : notBegun;
    return { ...how, lines: lines.filter((line) => line !== '') };
  }
  if (run.result !== 'success') return null;
  const took = duration(Date.parse(run.endedAt) - Date.parse(run.startedAt));
  const amount = run.sizeBytes === null ? '' : `${size(run.sizeBytes)} `;
  const verified = isDone(run, 'verify') ? ' · verified' : '';
  return {
    tone: 'good',
    title: 'Backup Successful',
    lines: [`${amount}in ${took}${verified}`],
    ...(run.backup === null ? {} : { code: run.backup }),
  };
}

export function isDone(run: Run, name: Run['steps'][number]['name']): boolean {
  return run.steps.some((step) => step.name === name && step.state === 'done');
}

/** When another machine wrote at a target until now, and this one does again. */
export function takenOverText(target: string, host: string): Outcome {
  return {
    tone: 'good',
    title: `This machine writes to ${targetPhrase(target)} again`,
    lines: [`${host} no longer does. Waiting backups go there now.`],
  };
}
