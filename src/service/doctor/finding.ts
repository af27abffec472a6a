/** What the doctor found, as the service shows it. */

/** What the doctor found: what it is, why it matters, and what to do; the last two are null where all is well. */
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
