/**
 * The audit record: who did what, from where, when and with what result. Rows of our own small database, which are
 * inserted and never changed; triggers of that database refuse an update, and a removal of any row that is not beyond the
 * limits below. Each record may go out as a line of JSON too, for a collector.
 *
 * The limits are counts, by kind, and no ages: a clock that jumps must not empty the record, a stranger who is refused a
 * million times must not push out what people did, and neither must retention, which removes something at each run.
 * Backups, checks and drills are not in it: they are in the run history, with the user.
 *
 * What can't be recorded is said in the log and done all the same: a full disk must not keep anybody from restoring.
 */
import { appendFileSync, closeSync, constants, openSync } from 'node:fs';
import { BackupError, type ErrorCode, withoutFolders } from '../../words/errors.ts';
import { visibleJson } from '../../words/visible-text.ts';
import { type Actor, currentActor } from './actor.ts';
import type { TargetName } from '../../words/target-word.ts';
import { AUDIT_KEPT, type AuditKind } from './audit-table.ts';
import type { StateDatabase } from '../state/state-database.ts';

/** What is recorded of what people and programs do. `retention` is what the service removes by itself. */
type AuditAct =
  | 'sign-in'
  | 'sign-out'
  | 'confirm-password'
  | 'request'
  | 'download'
  | 'delete'
  | 'retention'
  | 'prune'
  | 'restore'
  | 'restore-if-missing'
  | 'undo'
  | 'rescue'
  | 'undo-rescue'
  | 'settings'
  | 'pin'
  | 'unpin'
  | 'note'
  | 'adopt'
  | 'claim'
  | 'accept-loss'
  | 'mark'
  | 'pause'
  | 'resume'
  | 'reopen-loss'
  | 'stop';

/** One row of the audit record. */
export interface AuditEntry extends Actor {
  readonly at: Date;
  /** Its name among several; null if there is one, and for what is done to all, such as signing in. */
  readonly database: string | null;
  readonly act: AuditAct;
  /** What it was done to: a backup, a file, the route that was refused. */
  readonly subject: string | null;
  readonly target: TargetName | null;
  readonly result: 'done' | 'failed' | 'stopped' | 'refused';
  readonly code: ErrorCode | null;
  readonly detail: string | null;
}

export interface AuditFilter {
  readonly limit: number;
  readonly since?: Date;
}

/** What is recorded beside the actor and the time. */
export interface Act {
  readonly act: AuditAct;
  /** A backup, a setting, a route: what it was done to. */
  readonly subject?: string | null;
  readonly target?: string | null;
  readonly result?: AuditEntry['result'];
  readonly code?: ErrorCode | null;
  readonly detail?: string | null;
}

interface AuditOptions {
  readonly database: () => StateDatabase;
  /** The folder whose rows they are, as `folderInState` calls it; null for those of no database. */
  readonly folder: string | null;
  /** Its name among several. */
  readonly name: string | null;
  readonly now: () => Date;
  readonly warn: (message: string) => void;
  readonly sink?: AuditSink | null | undefined;
}

/** Takes one line of JSON, without its end. */
export type AuditSink = (line: string) => void;

const TEXT_MAX = 500;

export class Audit {
  readonly #options: AuditOptions;
  readonly #warned = new Set<string>();

  /** @param options.database opened at the first act. */
  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /**
   * Records the act with its result, and passes that on.
   *
   * @param options.done the act as its result tells it.
   */
  async carry<Result>(
    act: Act,
    work: () => Promise<Result>,
    { actor = currentActor(), done = () => act }: { actor?: Actor; done?: (result: Result) => Act } = {},
  ): Promise<Result> {
    try {
      const result = await work();
      this.add(done(result), actor);
      return result;
    } catch (error) {
      this.failed(act, error, actor);
      throw error;
    }
  }

  failed(act: Act, thrown: unknown, actor: Actor = currentActor()): void {
    const { code, message } = BackupError.from(thrown);
    const result = code === 'ABORTED' ? 'stopped' : 'failed';
    this.add({ ...act, result, code, detail: withoutFolders(message) }, actor);
  }

  add({ act, subject, target, result = 'done', code, detail }: Act, actor: Actor = currentActor()): void {
    const short = (text: string | null | undefined) => text?.slice(0, TEXT_MAX) ?? null;
    const entry: AuditEntry = {
      ...{
        at: this.#options.now(),
        database: this.#options.name,
        act,
        ...actor,
        subject: short(subject),
        target: target ?? null,
      },
      ...{ result, code: code ?? null, detail: short(detail) },
    };
    this.#attempt(() => this.#insert(entry));
    const { sink } = this.#options;
    if (!sink) return;
    const { at, ...rest } = entry;
    const level = result === 'refused' || result === 'failed' ? 'warn' : 'info';
    this.#attempt(() => sink(visibleJson(JSON.stringify({ time: at, level, area: 'audit', ...rest }))));
  }

  /** Newest first. */
  list({ limit, since }: AuditFilter): readonly AuditEntry[] {
    return this.#options
      .database()
      .prepare('SELECT * FROM audit WHERE folder IS $folder AND at >= $since ORDER BY id DESC LIMIT $limit')
      .all({ $folder: this.#options.folder, $since: since?.getTime() ?? 0, $limit: limit })
      .map((row) => readEntry(row, this.#options.name));
  }

  #insert(entry: AuditEntry): void {
    const database = this.#options.database();
    const kind = kindOf(entry);
    database
      .prepare(
        `INSERT INTO audit (folder, kind, at, act, user, via, address, agent, subject, target, result, code, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        ...[this.#options.folder, kind, entry.at.getTime(), entry.act, entry.user, entry.via, entry.address],
        ...[entry.agent, entry.subject, entry.target, entry.result, entry.code, entry.detail],
      );
    database
      .prepare(
        `DELETE FROM audit WHERE kind = $kind AND folder IS $folder AND id <=
           (SELECT id FROM audit WHERE kind = $kind AND folder IS $folder ORDER BY id DESC LIMIT 1 OFFSET $kept)`,
      )
      .run({ $kind: kind, $folder: this.#options.folder, $kept: AUDIT_KEPT[kind] });
  }

  /** Each reason once: whoever can't record an act can't record the next one either. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#warned.has(reason)) this.#options.warn(`The audit record could not be written: ${reason}.`);
      this.#warned.add(reason);
    }
  }
}

function kindOf({ act, result }: AuditEntry): AuditKind {
  return result === 'refused' ? 'refusal' : act === 'retention' ? 'retention' : 'act';
}

/**
 * A file that is opened anew for each line, so that it may be rotated; `-` is where log lines go. A link in its place is
 * not followed.
 */
export function auditSink(place: string | null, writeLine: (line: string) => void): AuditSink | null {
  if (place === null) return null;
  if (place === '-') return writeLine;
  return (line) => {
    const file = openSync(
      place,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      appendFileSync(file, `${line}\n`);
    } finally {
      closeSync(file);
    }
  };
}

function readEntry(row: Readonly<Record<string, unknown>>, database: string | null): AuditEntry {
  const text = (name: string) => (row[name] === null ? null : String(row[name]));
  return {
    at: new Date(Number(row['at'])),
    database,
    act: String(row['act']) as AuditAct, // written by us
    user: text('user'),
    via: String(row['via']) as AuditEntry['via'],
    address: text('address'),
    agent: text('agent'),
    subject: text('subject'),
    target: text('target'),
    result: String(row['result']) as AuditEntry['result'],
    code: text('code') as ErrorCode | null,
    detail: text('detail'),
  };
}
