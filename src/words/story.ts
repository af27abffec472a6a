/** What a story tells while it goes on, and what it is handed: known to whoever carries one out or listens to it. */

export type StepName =
  'checkpoint' | 'copy' | 'verify' | 'publish' | 'upload' | 'prune' | 'fetch' | 'check' | 'safety' | 'place' | 'prove';

export type JobEvent =
  | { readonly type: 'step'; readonly name: StepName }
  | { readonly type: 'bytes'; readonly done: number; readonly total: number }
  /** The moment of the database is fixed: who asks from now on needs another run. */
  | {
      readonly type: 'pinned';
      readonly backup: string;
      /** Where the log ended then; left out in a mode without one. */
      readonly log?: { readonly salts: string; readonly frames: number };
    }
  /** What the job learned about the writer of the target. */
  | { readonly type: 'writer'; readonly news: WriterNews }
  /** One answer of a self-test, at once. */
  | { readonly type: 'finding'; readonly finding: Finding }
  /** What stopped nothing and somebody should know, in whole sentences. */
  | { readonly type: 'warning'; readonly message: string };

/** What the stories of the engine are handed. */
export interface StoryContext {
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly onEvent: (event: JobEvent) => void;
}

type CheckName =
  | ('write' | 'head' | 'read' | 'list' | 'private' | 'delete' | 'traces')
  | ('clock' | 'create-only' | 'multipart' | 'unfinished-uploads' | 'versions')
  /** Where removal is left to the bucket; `delete` then asks that this key may not. */
  | ('overwrite' | 'lifecycle')
  /** Before a target, a webhook or a heartbeat is set up. */
  | ('reach' | 'sign-in' | 'owner' | 'speed' | 'answer');

export interface Judgement {
  readonly result: 'ok' | 'warning' | 'failed';
  /** One sentence, in lower case and without a full stop, as the messages of errors. */
  readonly message: string;
  /** What to do; null when there is nothing. */
  readonly hint: string | null;
}

/** What a self-test found out about one thing. */
export interface Finding extends Judgement {
  readonly check: CheckName;
  /** How long it took, where somebody watches. */
  readonly ms?: number;
}

export function warnIn(context: Pick<StoryContext, 'onEvent'>): (message: string) => void {
  return (message) => context.onEvent({ type: 'warning', message });
}

/** What a job tells its parent. */
export type WriterNews =
  | {
      readonly type: 'holds';
      readonly address: string;
      readonly epoch: number;
      readonly token: string;
      /** False if another process of this installation took the epoch, and renews its heartbeat. */
      readonly isOwn: boolean;
      readonly everyMs: number;
      /** The other installation that was the writer until now. */
      readonly from: (OtherWriter & { readonly wasReleased: boolean }) | null;
      readonly sparesOthersUntil: string | null;
      /** Machines with our id that met us and stopped. */
      readonly clones: readonly OtherWriter[];
    }
  | { readonly type: 'stopped'; readonly address: string; readonly by: OtherWriter }
  /** Told by a job that only reads, and so does not ask whether the writer is alive. */
  | {
      readonly type: 'seen';
      readonly address: string;
      readonly newest: { readonly token: string; readonly isReleased: boolean; readonly by: OtherWriter } | null;
      readonly clones: readonly OtherWriter[];
    };

/** Another machine that writes there. The times are the server's. */
export interface OtherWriter {
  readonly kind: 'other' | 'clone';
  readonly host: string;
  readonly since: string;
  /** Its last sign of life; null if nobody asked, or where it can't be seen. */
  readonly seenAt: string | null;
}
