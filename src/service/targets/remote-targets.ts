/** The targets beside the folder, as one service uses them: made when they are needed first, each with its own queue. */
import { otherOf } from '../../engine/catalog/identity.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { ServiceContext } from '../context.ts';
import type { TargetReport } from '../../engine/store/self-test.ts';
import type { Settings } from '../state/backup-config.ts';
import { Heartbeats } from './heartbeats.ts';
import { refreshWithinMs } from './places.ts';
import { RemoteTarget } from './remote-target.ts';
import type { TargetParts } from './target-context.ts';
import { checkTargets, type ConfiguredTarget, NO_BUCKET_HINT, remoteTargets } from './targets.ts';

/** `latest` is chosen from listings that are no older than those of a running app. */
const RECENT_MS = 15 * 60_000;
const LOOK_MS_MAX = 10_000;

export class RemoteTargets {
  readonly #context: ServiceContext;
  readonly #parts: TargetParts;
  #made: readonly RemoteTarget[] | undefined;
  /** Stopped, and closed with the service. */
  readonly #gone: RemoteTarget[] = [];

  constructor(context: ServiceContext, parts: Omit<TargetParts, 'heartbeats'>) {
    this.#context = context;
    this.#parts = { ...parts, heartbeats: context.options.heartbeats ?? new Heartbeats({ now: context.now }) };
    context.defer(() => {
      for (const remote of [...this.#gone.splice(0), ...(this.#made ?? [])]) remote.close();
      this.#made = undefined;
    });
  }

  /** @throws BackupError BAD_CONFIG if the path of S3 that was set on the page is the place of another target by now. */
  get all(): readonly RemoteTarget[] {
    if (this.#made) return this.#made;
    const { targets, settings } = this.#context;
    checkTargets(targets, settings.current);
    this.#made = remoteTargets(targets, settings.current).map((target) => this.#make(target));
    return this.#made;
  }

  /**
   * What was set up on the page, or taken away there, comes into use; the others go on. Resolves when what was under way
   * at the one before has ended.
   */
  async targetsChanged(): Promise<void> {
    if (!this.#made) return;
    const before = this.#made;
    const { targets, settings } = this.#context;
    const isSame = ({ access: { access } }: RemoteTarget, target: ConfiguredTarget) =>
      JSON.stringify(access) === JSON.stringify(target.access);
    const next = remoteTargets(targets, settings.current).map(
      (target) =>
        before.find((remote) => remote.target === target.name && isSame(remote, target)) ?? this.#make(target),
    );
    const gone = before.filter((remote) => !next.includes(remote));
    this.#made = next;
    // A look at it that is under way goes on.
    this.#gone.push(...gone);
    await Promise.all(gone.map((remote) => remote.stop()));
    if (this.#context.isStarted) for (const remote of next) if (!before.includes(remote)) remote.start();
    this.#parts.onChange();
  }

  /** Those that are on. */
  get enabled(): readonly RemoteTarget[] {
    return this.all.filter(({ isEnabled }) => isEnabled);
  }

  start(): void {
    for (const remote of this.all) remote.start();
  }

  /** @param others who write there, too. */
  async stop(others?: Promise<unknown>): Promise<void> {
    await Promise.all((this.#made ?? []).map((remote) => remote.stop(others)));
  }

  settingsChanged(before: Settings, after: Settings): void {
    if (before.s3Enabled === after.s3Enabled && before.s3Path === after.s3Path) return;
    for (const remote of this.all) if (remote.target === 's3') remote.settingsChanged();
  }

  /** Those that are on and were never looked at. */
  unseen(): readonly RemoteTarget[] {
    return this.enabled.filter(({ known }) => known.listedAt === null);
  }

  isUploading(name: string, target: TargetName): boolean {
    return this.#made?.some((remote) => remote.target === target && remote.uploads.isComing(name)) ?? false;
  }

  /** A target that is on holds backups that this machine made and does not remember. */
  setBack(): { readonly target: TargetName; readonly backup: string } | null {
    for (const { target, known } of this.enabled) if (known.setBack) return { target, backup: known.setBack.backup };
    return null;
  }

  /** The highest sequence of ours at any target, as it was listed last. */
  highestKnown(): number {
    try {
      const own = this.all.flatMap(({ backups, ownership }) =>
        backups.filter((backup) => otherOf(ownership, backup) === null),
      );
      return own.reduce((highest, { manifest }) => Math.max(highest, manifest?.sequence ?? 0), 0);
    } catch {
      // Targets that can't be used must not fail a local backup; the upload gives it its number then.
      return 0;
    }
  }

  /** Asks the targets that are on and were not looked at for long; returns those that stayed silent. */
  async lookRecently(): Promise<readonly { readonly remote: RemoteTarget; readonly error: ErrorBody }[]> {
    const nowMs = this.#context.now().getTime();
    const stale = this.enabled.filter(
      ({ known: { listedAt } }) => listedAt === null || Math.abs(nowMs - listedAt.getTime()) >= RECENT_MS,
    );
    const answers = stale.map(async (remote) => {
      try {
        await refreshWithinMs(remote, LOOK_MS_MAX);
        return [];
      } catch (error) {
        return [{ remote, error: BackupError.from(error).toJSON() }];
      }
    });
    return (await Promise.all(answers)).flat();
  }

  /** Uploads that backup to each target that is on; whether it is stored there then. */
  async upload(filename: string): Promise<Readonly<Record<TargetName, boolean>>> {
    // What goes wrong beside an upload fails no backup that is made.
    const failed = (error: unknown) => {
      const { message, hint } = BackupError.from(error);
      this.#context.log('error', `Not uploaded: ${filename}: ${message}. ${hint}`);
    };
    let enabled: readonly RemoteTarget[] = [];
    try {
      enabled = this.enabled;
    } catch (error) {
      failed(error);
    }
    const upload = async (remote: RemoteTarget) =>
      await remote.uploads.now(filename).catch((error: unknown) => {
        failed(error);
        return false;
      });
    const uploaded = await Promise.all(enabled.map(async (one) => [one.target, await upload(one)] as const));
    // Switched on, and not configured: it is nowhere.
    return { ...(this.#context.settings.current.s3Enabled && { s3: false }), ...Object.fromEntries(uploaded) };
  }

  /** Tries at a target, or in the folder, what backups will ask of it. */
  async test(name: TargetName, options: { readonly signal?: AbortSignal } = {}): Promise<TargetReport> {
    const { folder, log, jobs } = this.#context;
    const target =
      name === 'local' ? { name: 'local' as const, folder: folder.path } : { name, ...this.require(name).access };
    // It removes its traces before it ends.
    const report = await jobs.run<'test-target'>({ kind: 'test-target', target }, { ...options, mayKill: false });
    const failures = report.findings.filter(({ result }) => result === 'failed').map(({ message }) => message);
    log('info', `Tested ${name}: ${report.ok ? 'all that backups need works' : failures.join('; ')}.`);
    // The folder is called as it was configured; where it lies on this machine is nobody's business.
    const named = (text: string) => text.replaceAll(folder.path, folder.named);
    const findings = report.findings.map((finding) => ({
      ...finding,
      message: named(finding.message),
      hint: finding.hint && named(finding.hint),
    }));
    return { ...report, place: named(report.place), findings };
  }

  /** @throws BackupError BAD_REQUEST if none of that name is configured. */
  require(target: TargetName): RemoteTarget {
    const remote = this.all.find((candidate) => candidate.target === target);
    if (remote) return remote;
    if (target === 's3' && this.all.length === 0) {
      throw new BackupError('BAD_REQUEST', 'no S3 target is configured', {
        hint: NO_BUCKET_HINT,
      });
    }
    const names = ['local', ...this.all.map((candidate) => candidate.target)];
    throw new BackupError('BAD_REQUEST', `there is no target ${target}`, { hint: `There is ${names.join(', ')}.` });
  }

  #make({ name: target, access, prefix }: ConfiguredTarget): RemoteTarget {
    const { settings } = this.#context;
    const isS3 = target === 's3';
    const choice = {
      ...{ target, access },
      prefix: () => (isS3 ? settings.current.s3Path : prefix),
      isEnabled: () => !isS3 || settings.current.s3Enabled,
    };
    return new RemoteTarget(this.#context, choice, this.#parts);
  }
}
