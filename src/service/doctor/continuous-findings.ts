/** What the doctor judges of continuous backup. */
import { targetWord } from '../../words/target-word.ts';
import { type Check, found } from './finding.ts';

/** Nothing to say while it is off, and while commits are captured and nothing may end that. */
export const commitsAreCaptured: Check = ({ continuous = null }) => {
  if (continuous === null) return null;
  const { concern, untrue, warnings } = continuous;
  const code = 'captured';
  if (untrue) {
    const { message: what, hint: fix } = untrue.error;
    return found('problem', code, { what, why: 'What was captured is compared with the live file.', fix });
  }
  if (concern) {
    return found('warning', code, {
      what: concern,
      why: 'What is committed between two backups is not covered meanwhile.',
      fix: 'Start the service, or see its log; `velist-backup resume` ends a pause.',
    });
  }
  if (warnings.length === 0) return null;
  return found('warning', code, {
    what: warnings.join(' '),
    why: 'Commits are captured, and this may end that.',
    fix: 'End what the sentence names.',
  });
};

/** Names the first target that does not get them, and why. */
export const commitsAreShipped: Check = ({ continuous = null }) => {
  for (const { name, error, behindSince } of continuous?.targets ?? []) {
    if (error === null) continue;
    const since = behindSince === null ? '' : `, since ${behindSince.toISOString()}`;
    return found('warning', 'shipped', {
      what: `Captured commits do not reach ${targetWord(name)}${since}: ${error.message}.`,
      why: 'With this machine they would be lost; backups are uploaded as before.',
      fix: error.hint,
    });
  }
  return null;
};
