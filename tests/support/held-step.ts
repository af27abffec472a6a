/**
 * A job that stands still at one of its steps until a test has done something beside it: what is told of a job is told by
 * a pipe, and a machine that is busy hears it when the job is long past.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { RunProgress, StepName } from '../../src/service/model.ts';

const script = fileURLToPath(new URL('./held-step-main.ts', import.meta.url));

/** For the option `jobEnvironment`. */
export function environmentHeldAt(step: StepName): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', BUN_OPTIONS: `--preload=${script}`, TEST_HELD_AT: step };
}

/** For the option `onProgress` of a run whose job has that environment: `act` is done once, and then the job goes on. */
export function actOnceAt(step: StepName, act: () => void): (run: RunProgress) => void {
  let acted = false;
  return ({ steps }) => {
    if (acted || steps.find(({ name }) => name === step)?.state !== 'running') return;
    acted = true;
    const jobs = runningJobs();
    // It says the step first, and stops a moment later.
    for (const job of jobs) while (!/\) T /.test(readFileSync(`/proc/${job}/stat`, 'utf8'))) Bun.sleepSync(1);
    act();
    for (const job of jobs) process.kill(job, 'SIGCONT');
  };
}

/** From `/proc`, at once: a program like `ps` takes longer. */
function runningJobs(): readonly number[] {
  const children = readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' '),
  );
  return children
    .filter((pid) => pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('job-main'))
    .map(Number);
}
