/** What the doctor judges of continuous backup. */
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
