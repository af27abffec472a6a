/**
 * Jobs that are carried out in this process, with the clock that a test hands in: a machine's, while the clock of the
 * process is the true time. What passes between service and job goes through JSON, as it does between processes.
 *
 * Only for tests in which nobody else has the database open in this process.
 */
import { carryOut } from '../../src/engine/process/carry-out.ts';
import type { JobKind, JobMap, JobRequest } from '../../src/engine/process/protocol.ts';
import type { JobOptions, runJob } from '../../src/engine/process/run-job.ts';
import { BackupError } from '../../src/words/errors.ts';
import type { JobEvent, StoryContext } from '../../src/words/story.ts';

export interface JobsHereOptions {
  /** Of the machine. */
  readonly now: () => Date;
  /** Carries that job out in another way; undefined for the usual one. */
  readonly instead?: (request: JobRequest, context: StoryContext) => Promise<unknown> | undefined;
}

export function jobsHere({ now, instead }: JobsHereOptions): typeof runJob {
  return async <Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal = new AbortController().signal, onEvent }: Omit<JobOptions, 'environment'>,
  ) => {
    const asked = JSON.parse(JSON.stringify(request)) as JobRequest; // as it was
    const hear = (event: JobEvent) => onEvent?.(JSON.parse(JSON.stringify(event)) as JobEvent); // as it was
    const context: StoryContext = { signal, now, onEvent: hear };
    try {
      const answer = await (instead?.(asked, context) ?? carryOut(asked, context));
      return JSON.parse(JSON.stringify(answer ?? null)) as JobMap[Kind]['result']; // by the protocol
    } catch (error) {
      throw BackupError.fromJSON(BackupError.from(error).toJSON());
    }
  };
}
