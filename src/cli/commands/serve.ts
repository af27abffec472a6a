/** Runs the schedule and the dashboard until it is interrupted. */
import { actingAs } from '../../service/audit/actor.ts';
import { type CliContext, type CliPlaces, wrongUse } from '../session.ts';
import { commandLineActor } from './audit.ts';

export interface ServeFlags {
  readonly restoreIfMissing?: true;
  readonly identity?: string;
  readonly allowPlain?: true;
}

export async function serve(context: CliContext, places: CliPlaces, flags: ServeFlags): Promise<void> {
  const { restoreIfMissing, identity: identityFile, allowPlain } = flags;
  if (identityFile && !restoreIfMissing) throw wrongUse('--identity is for --restore-if-missing');
  if (allowPlain && !restoreIfMissing) throw wrongUse('--allow-plain is for --restore-if-missing');
  const options = restoreIfMissing ? { restoreIfMissing: { identityFile, allowPlain } } : {};
  await actingAs(commandLineActor(), () => context.serve(places, context.signal, options));
}
