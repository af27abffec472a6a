/** Opens the service for one command and closes it, whatever comes. */
import { fleetOf } from '../fleet/fleet-port.ts';
import { actingAs } from '../service/audit/actor.ts';
import { BackupError } from '../words/errors.ts';
import { commandLineActor } from './commands/audit.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { CliContext, CliPlaces, CliService, Work } from './session.ts';
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
  const fleet = fleetOf<CliService>(opened);
  const interrupt = () => {
    for (const { service } of fleet.databases) {
      // All of it: a listing and an upload are no runs.
      service.stop().catch((error: unknown) => output.error(BackupError.from(error)));
    }
  };
  context.signal.addEventListener('abort', interrupt, { once: true });
  try {
    const now = context.now ?? (() => new Date());
    const isOfAll = fleet.isMany && places.databasePath === undefined;
    const session = { output, now, ask: context.ask, signal: context.signal, ...(isOfAll && { all: fleet }) };
    const picked = pickDatabases(fleet.databases, fleet.isMany ? places.databasePath : undefined);
    const [only] = isOfAll ? [] : picked;
    const codeOf = (thrown: unknown) =>
      context.signal.aborted ? exitCodes.interrupted : exitCodeOf(BackupError.from(thrown).code);
    return await actingAs(commandLineActor(), () =>
      only ? work({ ...session, service: only.service }) : onMany(work, picked, session, codeOf),
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
