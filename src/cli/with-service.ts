/** Opens the service for one command and closes it, whatever comes. */
import { actingAs } from '../service/audit/actor.ts';
import { BackupError } from '../words/errors.ts';
import { commandLineActor } from './commands/audit.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { CliContext, CliPlaces, Work } from './session.ts';
import { pickDatabases, workOnEach } from './several.ts';

/** What is done if there are several databases and none was picked; left out, the same to each. */
export type OnMany = typeof workOnEach;

/** An interrupt stops the run and is waited for. */
export async function runWithService(
  work: Work,
  places: CliPlaces,
  context: CliContext,
  output: Output,
  onMany: OnMany = workOnEach,
): Promise<number> {
  const opened = await context.createService(places, output.log);
  const several = 'databases' in opened ? opened.databases : null;
  const services = 'databases' in opened ? opened.databases.map(({ service }) => service) : [opened];
  const interrupt = () => {
    for (const service of services) {
      // All of it: a listing and an upload are no runs.
      service.stop().catch((error: unknown) => output.error(BackupError.from(error)));
    }
  };
  context.signal.addEventListener('abort', interrupt, { once: true });
  try {
    const now = context.now ?? (() => new Date());
    const all = 'databases' in opened && places.databasePath === undefined ? opened : undefined;
    const session = { output, now, ask: context.ask, signal: context.signal, ...(all && { all }) };
    const picked = several && pickDatabases(several, places.databasePath);
    const service = picked === null ? services[0] : places.databasePath === undefined ? undefined : picked[0]?.service;
    const codeOf = (thrown: unknown) =>
      context.signal.aborted ? exitCodes.interrupted : exitCodeOf(BackupError.from(thrown).code);
    return await actingAs(commandLineActor(), () =>
      service ? work({ ...session, service }) : onMany(work, picked ?? [], session, codeOf),
    );
  } catch (thrown) {
    return fail(thrown, context, output);
  } finally {
    context.signal.removeEventListener('abort', interrupt);
    output.progress.done();
    await opened.close();
    output.end();
  }
}

/** Says what went wrong, and answers its exit code. */
export function fail(thrown: unknown, context: CliContext, output: Output): number {
  const error = BackupError.from(thrown);
  output.error(error);
  return context.signal.aborted ? exitCodes.interrupted : exitCodeOf(error.code);
}
