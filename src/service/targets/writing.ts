/**
 * Whether this installation is the one writer of a target, as far as the service knows between two jobs: what a job is
 * told for it, what is heard of another writer, and that a place is given back at the end. The jobs themselves decide
 * (`engine/writer/writer.ts`).
 *
 * Where another machine writes, uploads are not even tried before a look, once a tick, finds the place free.
 */
import { BackupError } from '../../words/errors.ts';
import type { Writing as WritingFacts } from '../../engine/writer/writing.ts';
import type { WriterSelf } from '../../engine/writer/self.ts';
import { otherWriterAt, refusalBy } from '../../engine/writer/writer.ts';
import { addressOf, lifecycleDaysOf, whereOf, wordsOf } from '../../engine/store/kinds.ts';
import { knownInstallation } from './database-self.ts';
import type { SharedHeartbeat, Heartbeats } from './heartbeats.ts';
import type { Log } from '../log.ts';
import type { ServiceEvent } from '../service-event.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { TargetState } from '../state/target-state.ts';
import type { WriterStatus } from './place-status.ts';
import type { TargetSetup } from './targets.ts';
import type { JobEvent, OtherWriter, WriterNews } from '../../words/story.ts';

interface WritingOptions {
  readonly target: TargetName;
  readonly access: TargetSetup;
  readonly prefix: () => string;
  readonly self: () => WriterSelf;
  /** Length of a tick. */
  readonly everyMs: () => number;
  /** True for a service with a schedule; the command line writes beside one. */
  readonly isStarted: () => boolean;
  readonly isEnabled: () => boolean;
  readonly state: Pick<TargetState, 'writer' | 'uploads'>;
  /** The run history tells of an upload to this target. */
  readonly hasUploaded: () => boolean;
  readonly heartbeats: Heartbeats;
  readonly log: Log;
  readonly now: () => Date;
  readonly emit: (event: ServiceEvent) => void;
  readonly onChange: () => void;
  /** What waits may be tried again. */
  readonly onFree: () => void;
}

/** A clone that still tries leaves a new mark each tick, and we look for it every quarter of an hour. */
const CLONE_SHOWN_MS = 2 * 3_600_000;

export class Writing {
  readonly #options: WritingOptions;
  readonly #heartbeat: SharedHeartbeat;
  /** A start takes an epoch of its own with its first write, and after another machine wrote there. */
  #hasWritten = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** A person claimed the place by a process that ends: it is kept for the service of this machine. */
  #isKept = false;
  /** What this process holds; the path may change. */
  #held: string | null = null;
  #releasing: Promise<void> = Promise.resolve();

  constructor(options: WritingOptions) {
    this.#options = options;
    this.#heartbeat = options.heartbeats.in(options.access);
  }

  /** Goes on looking if another machine was the writer when the last process ended, also while nothing waits. */
  start(): void {
    if (this.isStopped) this.#watch();
  }

  /** What a job that writes is told. */
  request(): { readonly self: WriterSelf; readonly writing: WritingFacts } {
    const { self, everyMs, isStarted, prefix } = this.#options;
    const { token, key: beat } = this.#heartbeat.of(prefix());
    const writing: WritingFacts = {
      ...{
        token,
        beat,
        everyMs: everyMs(),
        knowsPlace: this.#knowsPlace,
        lifecycleDays: lifecycleDaysOf(this.#options.access),
      },
      isFirst: isStarted() && !this.#hasWritten,
    };
    return { self: self(), writing };
  }

  /** @throws BackupError PLACE_TAKEN, CLONED where a look not a tick ago found another writer. */
  refuse(): void {
    const { state, everyMs, now } = this.#options;
    const note = state.writer;
    if (!note?.isStopped || Math.abs(now().getTime() - this.#lookedMs) >= everyMs()) return;
    throw refusalBy(note, this.#where, wordsOf(this.#options.access).own);
  }

  onEvent(news: WriterNews): void {
    // The path was changed meanwhile.
    if (news.address !== this.#address) return;
    if (news.type === 'holds') this.#hold(news);
    else if (news.type === 'stopped') this.#stop(news.by, { isSaid: true });
    else this.#see(news);
  }

  /** Another machine writes there, as far as we know. */
  get isStopped(): boolean {
    return this.#options.state.writer?.isStopped ?? false;
  }

  get status(): WriterStatus {
    const { state, now } = this.#options;
    const note = state.writer;
    const isShown =
      note !== null && (note.isStopped || Math.abs(now().getTime() - Date.parse(note.notedAt)) < CLONE_SHOWN_MS);
    const until = this.#sparesUntil();
    return {
      writer: isShown
        ? {
            ...{ kind: note.kind, host: note.host, since: new Date(note.since) },
            seenAt: note.seenAt === null ? null : new Date(note.seenAt),
          }
        : null,
      sparesOthersUntil: until && until > now() ? until : null,
    };
  }

  /** The only installation whose backups would be removed now, for a plan; null if that does not hold. */
  get sparesAllBut(): string | null {
    const { maker, installationPath } = this.#options.self();
    const isKnown = this.#knowsPlace || knownInstallation(installationPath)?.places[this.#address] !== undefined;
    return !isKnown || this.status.sparesOthersUntil !== null ? maker.installation : null;
  }

  /** A person claimed it. Of a process that ends soon the service of this machine takes it over; another machine may not. */
  claimed(): void {
    if (this.#options.isStarted()) return;
    this.#isKept = true;
    this.#heartbeat.drop(this.#address);
  }

  /** The target was switched off, or another path was set: what this process holds elsewhere is given back. */
  settingsChanged(): void {
    if (this.#held === null || (this.#held === this.#address && this.#options.isEnabled())) return;
    this.#releasing = this.#release();
  }

  /** At the end of the process, or of the schedule. Takes a few seconds at most and never rejects. */
  async release(): Promise<void> {
    await Promise.all([this.#releasing, this.#release()]);
  }

  async #release(): Promise<void> {
    const address = this.#held ?? this.#address;
    this.#held = null;
    this.#hasWritten = false;
    if (this.#isKept) this.#heartbeat.drop(address);
    else await this.#heartbeat.release(address);
  }

  // ── what is heard ──

  #hold({
    address,
    epoch,
    token,
    isOwn,
    everyMs,
    from,
    sparesOthersUntil,
    clones,
  }: WriterNews & { readonly type: 'holds' }): void {
    const { state, log, onChange, emit, target, self, prefix } = this.#options;
    this.#hasWritten = true;
    if (isOwn && !this.#heartbeat.holds(address, epoch)) {
      this.#held = address;
      const { installationPath } = self();
      this.#heartbeat.hold({
        ...{ address, installationPath, epoch, token, prefix: prefix(), everyMs, log, where: this.#where },
        onCloned: (error) => this.#becameClone(error),
      });
    }
    if (from) {
      const seenAt = from.seenAt === null ? null : new Date(from.seenAt);
      const how = from.wasReleased ? 'which released it' : `which had been silent since ${from.seenAt ?? from.since}`;
      const spares =
        sparesOthersUntil === null
          ? ''
          : ` Backups that others made there stay until ${sparesOthersUntil}, or until \`velist-backup claim\`.`;
      log('warn', `Took ${this.#where} over from ${from.host}, ${how}.${spares}`);
      emit({
        type: 'takeover',
        target,
        from: { host: from.host, since: new Date(from.since), seenAt, wasReleased: from.wasReleased },
      });
    }
    if (state.writer?.isStopped) {
      state.writer = null;
      if (!from) log('info', `This machine writes to ${this.#where} again.`);
      onChange();
    }
    this.#noteClones(clones);
  }

  /** @param options.isSaid the run that was refused says why. */
  #stop(by: OtherWriter, { isSaid }: { readonly isSaid: boolean }): void {
    const { state, now, log, onChange } = this.#options;
    state.writer = { ...by, notedAt: now().toISOString(), isStopped: true };
    this.#hasWritten = false;
    this.#lookedMs = now().getTime();
    this.#heartbeat.drop(this.#address);
    this.#watch();
    if (!isSaid) {
      const { message, hint } = refusalBy(by, this.#where, wordsOf(this.#options.access).own);
      log('warn', `Nothing is uploaded to ${this.#word} or removed there: ${message}. ${hint}`);
    }
    onChange();
  }

  #see({ newest, clones }: WriterNews & { readonly type: 'seen' }): void {
    const { state, onChange, self, prefix } = this.#options;
    const { installationPath } = self();
    const held = knownInstallation(installationPath)?.places[this.#address];
    const isOurs =
      newest !== null && (newest.token === held?.token || newest.token === this.#heartbeat.of(prefix()).token);
    if (newest && !newest.isReleased && !isOurs && this.#heartbeat.holds(this.#address))
      this.#stop(newest.by, { isSaid: false });
    else if (state.writer?.isStopped && (newest === null || newest.isReleased || isOurs)) {
      state.writer = null;
      this.#heartbeat.drop(this.#address);
      onChange();
    }
    this.#noteClones(clones);
  }

  /** Each mark once: where nothing may be deleted there, an old one stays. */
  #noteClones(clones: readonly OtherWriter[]): void {
    const { state, now, log, onChange } = this.#options;
    const clone = clones.at(-1);
    if (!clone || (clone.seenAt ?? '') <= (state.writer?.seenAt ?? '')) return;
    const isNew = state.writer === null;
    state.writer = { ...clone, notedAt: now().toISOString(), isStopped: false };
    if (isNew)
      log(
        'warn',
        `A machine with the id of this one (${clone.host}) wanted to write to ${this.#where}, and stopped. It is a copy of this one: move velist-backup.installation.json away there, and give it ${wordsOf(this.#options.access).own}.`,
      );
    onChange();
  }

  #becameClone({ message, hint }: BackupError): void {
    const { log, now } = this.#options;
    log('warn', `Nothing is uploaded to ${this.#word} or removed there: ${message}. ${hint}`);
    const at = now().toISOString();
    this.#stop({ kind: 'clone', host: this.#options.self().maker.host, since: at, seenAt: null }, { isSaid: true });
    void this.#look(AbortSignal.timeout(LOOK_MAX_MS));
  }

  #watch(): void {
    this.#heartbeat.watch(this.#address, this.#options.everyMs(), (signal) => this.#look(signal));
  }

  /** Never rejects: what fails is tried again a tick later, and the uploads that wait say why. */
  async #look(signal: AbortSignal): Promise<void> {
    const { state, now, log, onChange, onFree } = this.#options;
    const address = this.#address;
    try {
      const onEvent = (event: JobEvent) => event.type === 'warning' && log('warn', event.message);
      const context = { signal, now, onEvent };
      const by = await this.#heartbeat.withStore((store) =>
        otherWriterAt({ store, prefix: this.#options.prefix() }, { ...this.request(), address }, context),
      );
      if (address !== this.#address) return;
      this.#lookedMs = now().getTime();
      state.writer = by && { ...by, notedAt: now().toISOString(), isStopped: true };
      onChange();
      if (by) return;
      this.#heartbeat.drop(address);
      onFree();
    } catch (error) {
      if (!signal.aborted)
        this.#options.log(
          'warn',
          `Who writes to ${this.#where} could not be determined: ${BackupError.from(error).message}.`,
        );
    }
  }

  /**
   * A listing alone would not do: a copy of the folder has the same backups. Nor would what is noted of a backup that is
   * not to be uploaded any more.
   */
  get #knowsPlace(): boolean {
    const { state, hasUploaded } = this.#options;
    return [...state.uploads().values()].some(({ status }) => status === 'stored') && hasUploaded();
  }

  #sparesUntil(): Date | null {
    const until = knownInstallation(this.#options.self().installationPath)?.places[this.#address]?.sparesOthersUntil;
    return until ? new Date(until) : null;
  }

  get #address(): string {
    return addressOf(this.#options.access, this.#options.prefix());
  }

  get #word(): string {
    return targetWord(this.#options.target);
  }

  get #where(): string {
    return whereOf(this.#options.access, this.#options.prefix());
  }
}

const LOOK_MAX_MS = 60_000;
