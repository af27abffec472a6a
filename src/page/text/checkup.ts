/** What the check-up offers for a finding of the doctor: the one thing that helps. Pure. */
import type { DoctorReport } from '../../http/contract.ts';
import { sentence } from './format.ts';

type Finding = DoctorReport['findings'][number];

export type Remedy =
  | { readonly kind: 'drill' | 'turn-on' | 'configure' | 'damaged'; readonly label: string }
  | { readonly kind: 'test'; readonly label: string; readonly target: string }
  /** What is to be done elsewhere: a command, or what is said. */
  | { readonly kind: 'copy'; readonly label: string; readonly text: string };

const remedies: Readonly<Record<string, Remedy>> = {
  schedule: { kind: 'turn-on', label: 'Turn on' },
  'max-age': { kind: 'configure', label: 'Configure' },
  history: { kind: 'configure', label: 'Configure' },
  keep: { kind: 'configure', label: 'Configure' },
  'free-disk': { kind: 'configure', label: 'Configure' },
  'damaged-backups': { kind: 'damaged', label: 'Show them' },
};

/** @param targets names of those that are on. Null if there is nothing to do. */
export function remedyOf({ code, fix }: Finding, targets: readonly string[]): Remedy | null {
  const known = remedies[code];
  if (known) return known;
  if (fix === null) return null;
  // With the private key a drill is run where that is.
  if (code === 'drills' && /velist-backup drill(?!.*--identity)/.test(fix))
    return { kind: 'drill', label: 'Run a drill' };
  const target = targets.find((name) => code.startsWith(`${name}-`));
  if (target !== undefined) return { kind: 'test', label: 'Test again', target };
  const command = /`([^`]+)`/.exec(fix)?.[1] ?? /(?:^|[:,] )((?:velist-backup|chmod|chown) .+?)\.?$/.exec(fix)?.[1];
  return { kind: 'copy', label: command === undefined ? 'Copy' : 'Copy command', text: command ?? fix };
}

/** "The last drill of S3 failed": a headline has no full stop. */
export const headline = (what: string): string => sentence(what).replace(/\.$/, '');
