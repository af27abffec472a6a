/** What the doctor found, and how a check says it. */
import type { DoctorFacts } from './facts.ts';

/** What the doctor found: what it is, why it matters, and what to do; the last two are null if all is well. */
export interface Finding {
  readonly code: string;
  readonly severity: 'ok' | 'info' | 'warning' | 'problem';
  readonly what: string;
  readonly why: string | null;
  readonly fix: string | null;
}

export interface DoctorReport {
  /** True when nobody has to act: there is no warning and no problem. */
  readonly ok: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
}

export type Check = (facts: DoctorFacts) => Finding | null;

export const ok = (code: string, what: string): Finding => ({ code, severity: 'ok', what, why: null, fix: null });

export const found = (
  severity: Exclude<Finding['severity'], 'ok'>,
  code: string,
  { what, why, fix }: { readonly what: string; readonly why: string; readonly fix: string },
): Finding => ({ code, severity, what, why, fix });

export const MIB = 1024 ** 2;
