/** What each verb does. What it is called, and which options it has, is in `text/help.ts`. */
import type { Command } from 'commander';
import { adoptBackup } from './commands/adopt.ts';
import { type AuditOptions, showAudit, showAuditOfAll } from './commands/audit.ts';
import { makeBackup } from './commands/backup.ts';
import { claim, type ClaimOptions } from './commands/claim.ts';
import { configure, type ConfigFlags } from './commands/config.ts';
import { deleteBackup, type DeleteFlags } from './commands/delete.ts';
import { diagnose, type DoctorFlags } from './commands/doctor.ts';
import { drill, type DrillOptions } from './commands/drill.ts';
import { writeKit } from './commands/kit.ts';
import { listBackups, type ListFlags } from './commands/list.ts';
import { acceptLoss, diffBackups } from './commands/losses.ts';
import { makeMark, type MomentsOptions, pauseContinuous, resumeContinuous, showMoments } from './commands/moments.ts';
import { note, type NoteFlags, pin, type PinFlags, unpin } from './commands/pin.ts';
import { prune, type PruneOptions } from './commands/prune.ts';
import { type LogFlags, showLog } from './commands/log.ts';
import {
  restoreBackup,
  restoreIfMissing,
  type RestoreOptions,
  type UndoOptions,
  undoRestore,
} from './commands/restore.ts';
import { rescue, type RescueFlags } from './commands/rescue.ts';
import { addSelfDescription } from './commands/self-description.ts';
import { serve, type ServeFlags } from './commands/serve.ts';
import { showStatus, statusExitCode } from './commands/status.ts';
import { testTarget } from './commands/test-target.ts';
import { verifyBackup, type VerifyOptions } from './commands/verify.ts';
import type { Output } from './output.ts';
import type { CliContext, CliPlaces, Work } from './session.ts';
import { askWhich, statusOfEach } from './several.ts';
import type { Verb } from './text/help.ts';
import type { OnMany } from './with-service.ts';

interface Given {
  readonly program: Command;
  readonly context: CliContext;
  readonly output: Output;
  readonly version: string;
  /** As the options say, once they were read. */
  readonly places: () => CliPlaces;
  readonly verb: (name: Verb) => Command;
  readonly run: (work: Work, onMany?: OnMany, places?: CliPlaces) => Promise<void>;
}

export function addVerbs(given: Given): void {
  const { verb, run } = given;
  verb('backup').action(() => run(makeBackup));
  verb('list').action((flags: ListFlags) => run((session) => listBackups(session, flags)));
  verb('verify').action((wanted: string, flags: VerifyOptions) =>
    run((session) => verifyBackup(session, wanted, flags), onlyOne),
  );
  addRestoreVerbs(given);
  verb('adopt').action((name: string) => run((session) => adoptBackup(session, name), onlyOne));
  addChangeVerbs(given);
  verb('prune').action((flags: PruneOptions) => run((session) => prune(session, flags)));
  verb('diff').action((a: string, b: string) => run((session) => diffBackups(session, a, b), onlyOne));
  verb('accept-loss').action((name: string | undefined, flags: { ignoreTables?: boolean }) =>
    run((session) => acceptLoss(session, name, flags), onlyOne),
  );
  addReportVerbs(given);
  addContinuousVerbs(given);
  addConfigVerb(given);
  verb('serve').action(async (flags: ServeFlags) => {
    await serve(given.context, given.places(), flags);
    given.output.progress.done();
  });
  addSelfDescription(given.program, {
    ...{ stdout: given.context.stdout, verb, version: given.version },
    withoutConfig: (work) => run(work, undefined, { ...given.places(), isWithoutConfig: true }),
  });
}

function addChangeVerbs({ verb, run }: Given): void {
  verb('pin').action((name: string, flags: PinFlags) => run((session) => pin(session, name, flags), onlyOne));
  verb('unpin').action((name: string) => run((session) => unpin(session, name), onlyOne));
  verb('note').action((name: string, text: string | undefined, flags: NoteFlags) =>
    run((session) => note(session, name, text, flags), onlyOne),
  );
  verb('delete').action((name: string, flags: DeleteFlags) =>
    run((session) => deleteBackup(session, name, flags), onlyOne),
  );
}

function addConfigVerb({ verb, run }: Given): void {
  verb('config').action((name: string | undefined, value: string | undefined, flags: ConfigFlags) =>
    run((session) => configure(session, name, value, flags), name === undefined ? undefined : onlyOne),
  );
}

function addRestoreVerbs({ verb, run }: Given): void {
  verb('restore').action((wanted: string | undefined, flags: RestoreOptions) =>
    run(
      (session) => (flags.ifMissing ? restoreIfMissing : restoreBackup)(session, wanted, flags),
      flags.ifMissing ? undefined : onlyOne,
    ),
  );
  verb('claim').action((flags: ClaimOptions) => run((session) => claim(session, flags), onlyOne));
  verb('rescue').action((from: string | undefined, flags: RescueFlags) =>
    run((session) => rescue(session, from, flags), onlyOne),
  );
  verb('undo').action((flags: UndoOptions) => run((session) => undoRestore(session, flags), onlyOne));
}

function addContinuousVerbs({ verb, run }: Given): void {
  verb('moments').action((flags: MomentsOptions) => run((session) => showMoments(session, flags), onlyOne));
  verb('mark').action((name: string) => run((session) => makeMark(session, name), onlyOne));
  verb('pause').action(() => run(pauseContinuous, onlyOne));
  verb('resume').action(() => run(resumeContinuous, onlyOne));
}

function addReportVerbs({ verb, run }: Given): void {
  verb('test-target').action((name: string | undefined) => run((session) => testTarget(session, name)));
  verb('drill').action((flags: DrillOptions) => run((session) => drill(session, flags)));
  verb('doctor').action((flags: DoctorFlags) => run((session) => diagnose(session, flags)));
  verb('status').action(() => run(showStatus, (_, ...rest) => statusOfEach(statusExitCode, ...rest)));
  verb('log').action((flags: LogFlags) => run((session) => showLog(session, flags)));
  verb('audit').action((flags: AuditOptions) =>
    run(
      (session) => showAudit(session, flags),
      (_, databases, session) => showAuditOfAll(flags, databases, session),
    ),
  );
  verb('kit').action((flags: { output?: string }) => run((session) => writeKit(session, flags)));
}

const onlyOne: OnMany = (_, databases) => askWhich(databases);
