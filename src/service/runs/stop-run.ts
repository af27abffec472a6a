import type { ServiceContext } from '../context.ts';

/** Asks the run that is shown to end, and what runs beside it; resolves when they have. False when there was nothing. */
export async function stopRun({ runs, jobs }: Pick<ServiceContext, 'runs' | 'jobs'>): Promise<boolean> {
  const run = runs.shown;
  const mayStop = run?.mayStop === true;
  if (mayStop) run.abort.abort();
  const stopped = await jobs.stopBesideRuns();
  if (mayStop) await runs.ended(run);
  return mayStop || stopped > 0;
}
