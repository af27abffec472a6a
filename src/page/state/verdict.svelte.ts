/** The verdict that holds now, in words: the server's, or that there is no contact with it. */
import { lostWords, verdictWords } from '../text/verdict.ts';
import type { Action, VerdictWords } from '../text/verdict-parts.ts';
import { clock } from './clock.svelte.ts';
import { dashboard } from './dashboard.svelte.ts';

const thumbs: readonly Action[] = ['bring-back', 'see-loss', 'check-again', 'retry', 'drill-again', 'verify-again'];

class Verdict {
  /** What the server last said; null before it said anything. */
  readonly known = $derived.by((): VerdictWords | null => {
    const { status, backups, activity, ownRun } = dashboard;
    return status === null
      ? null
      : verdictWords({
          status,
          backups,
          activity,
          ownRun,
          now: clock.now,
          zone: clock.zone,
        });
  });

  readonly words = $derived.by((): VerdictWords | null => {
    const { contact } = dashboard;
    if (contact !== 'lost' && contact !== 'refused') return this.known;
    return lostWords({
      now: clock.now,
      zone: clock.zone,
      retryMs: dashboard.retryInMs,
      refusal: contact === 'refused' ? dashboard.refusal : null,
      knownSomething: this.known !== null,
      before: this.known?.headline ?? null,
    });
  });

  /** What lies under the thumb on a phone, beside Configure; null: neither does, as a card below asks what to do. */
  readonly thumb = $derived.by((): Action | null => {
    const { actions = [], isAskedBelow = false } = this.words ?? {};
    if (isAskedBelow && !actions.includes('backup')) return null;
    return thumbs.find((action) => action === actions.at(-1)) ?? 'backup';
  });
}

export const verdict = new Verdict();
