/**
 * Sets up from the page what the environment does not say: a bucket, a second folder, a webhook, a heartbeat. Nothing is
 * kept before it was tried and works. What is kept comes into use at once.
 *
 * Secrets come in with a request, go to the job that tries them, to the credentials file, and nowhere else: what is shown,
 * logged and recorded names the place.
 */
import type { S3Place, SetUp } from '../../config/page-settings.ts';
import { type TargetAccess, targetToTest, whereOf } from '../../engine/store/kinds.ts';
import type { TargetReport } from '../../engine/store/self-test.ts';
import { BackupError } from '../../words/errors.ts';
import type { Finding } from '../../words/story.ts';
import type { ServiceContext } from '../context.ts';
import type { Continuous } from '../continuous/continuous.ts';
import { testMessage } from '../notify/concerns.ts';
import { NOTIFY_WAITS } from '../notify/retry.ts';
import { ask } from '../notify/send.ts';
import type { SettingsChange } from '../state/change-settings.ts';
import type { Stored } from '../state/credentials.ts';
import { SettingsError } from '../state/settings.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { FOLDER, storedBucket, storedFolder } from '../targets/stored-targets.ts';
import { checkTargets, type TargetOptions } from '../targets/targets.ts';
import { requireAllowedHost } from './allowed-host.ts';
import type { PlannedSetUp, SetUpPart, SetUpPort, ShownPart, ShownSetUp, TestOptions } from './shown-set-up.ts';

interface SetUpParts {
  readonly continuous: Pick<Continuous, 'targetsChanged'>;
  readonly targets: RemoteTargets;
  readonly updateConfig: (change: SettingsChange) => unknown;
  /** The webhook, or the heartbeat, is another one. */
  readonly onVoices: () => Promise<void>;
}

type Voice = Extract<SetUp, { readonly url: string }>;
type Place = Exclude<SetUp, Voice>;
type Bucket = Omit<NonNullable<Stored['s3']>, 'path'>;

interface Candidate {
  readonly name: string;
  readonly access: TargetAccess;
  readonly prefix: string;
}

const variables: Readonly<Record<SetUpPart, string>> = {
  s3: 'S3_BUCKET',
  folder: 'BACKUP_FOLDER_PATH',
  webhook: 'BACKUP_WEBHOOK_URL',
  heartbeat: 'BACKUP_HEARTBEAT_URL',
};
const words: Readonly<Record<SetUpPart, string>> = {
  s3: 'S3',
  folder: 'the second folder',
  webhook: 'the webhook',
  heartbeat: 'the heartbeat',
};

export class SetUps implements SetUpPort {
  readonly #context: ServiceContext;
  readonly #parts: SetUpParts;
  /** One after the other: each changes a file, and what is in use. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: ServiceContext, parts: SetUpParts) {
    this.#context = context;
    this.#parts = parts;
  }

  show(): ShownSetUp {
    const { credentials, settings, targets, voices } = this.#context;
    const { s3, folder, webhook, heartbeat } = credentials.current;
    const { conflicts } = this.#context.targetsAt(settings.current);
    const part = (
      name: SetUpPart,
      stored: unknown,
      where: string | null,
      conflict: BackupError | null = null,
    ): ShownPart => ({
      setBy: this.#isFixed(name) ? 'environment' : stored === undefined ? null : 'page',
      variable: variables[name],
      where,
      complaint: conflict?.message ?? null,
    });
    const bucket = targets.s3 ? whereOf({ ...targets.s3, kind: 's3' }, settings.current.s3Path) : null;
    const second = targets.targets?.find(({ name }) => name === FOLDER);
    return {
      s3: part('s3', s3, bucket, conflicts.s3),
      folder: part(
        'folder',
        folder,
        second?.kind === 'folder' ? whereOf(second, second.prefix ?? '') : null,
        conflicts.folder,
      ),
      webhook: part('webhook', webhook, masked(voices.webhookUrl)),
      heartbeat: part('heartbeat', heartbeat, masked(voices.heartbeatUrl)),
      bucket: s3 && !this.#isFixed('s3') ? shownBucket(s3) : null,
      s3Path: s3?.path ?? settings.current.s3Path,
      file: { path: credentials.path, complaint: credentials.complaint },
    };
  }

  /** @throws BackupError BAD_CONFIG for a bucket that may not be asked, or a place that is taken. */
  async plan(place: S3Place): Promise<PlannedSetUp> {
    const { path, ...bucket } = place;
    const access: TargetAccess = { kind: 's3', ...bucket };
    await this.#requireUsable({ name: 's3', access, prefix: path });
    const tested = targetToTest(access, path);
    tested.close();
    const server = serverOf(place);
    return {
      where: whereOf(access, path),
      host: server.host,
      isPlain: server.protocol === 'http:',
      policy: tested.policy,
    };
  }

  /** @throws BackupError BAD_CONFIG; what does not work is in the report. */
  async test(given: SetUp, options: TestOptions = {}): Promise<TargetReport> {
    this.#requireFree(given.part);
    const report = isVoice(given) ? await this.#call(given, options) : await this.#try(given, options);
    const failures = report.findings.filter(({ result }) => result === 'failed').map(({ message }) => message);
    const outcome = report.ok ? 'it works' : failures.join('; ');
    this.#context.log('info', `Tried ${words[given.part]} for the page, ${report.place}: ${outcome}.`);
    return report;
  }

  /** Nothing is kept if the test fails. @throws BackupError BAD_CONFIG, or why it can't be kept. */
  async save(given: SetUp): Promise<TargetReport> {
    return await this.#inTurn(given.part, async () => {
      const report = await this.test(given);
      if (report.ok) {
        // The test took a while: by now the place may be another database's.
        if (!isVoice(given)) await this.#requireUsable(this.#candidateOf(given));
        await this.#keep(given);
      }
      return { result: report, detail: `${report.ok ? 'set up' : 'not set up'}: ${report.place}` };
    });
  }

  /** @throws BackupError BAD_CONFIG, BAD_REQUEST if nothing was set up on the page. */
  async remove(part: SetUpPart): Promise<void> {
    await this.#inTurn(part, async () => {
      this.#requireFree(part);
      const { credentials } = this.#context;
      if (credentials.current[part] === undefined && credentials.complaint === null) {
        throw new BackupError('BAD_REQUEST', `${words[part]} was not set up on the page`, {
          hint: 'There is nothing to remove.',
        });
      }
      if (part === 's3') await this.#exchangeBucket(null);
      else {
        credentials.change(part, null);
        await this.#changed(part);
      }
      return { result: undefined, detail: 'removed' };
    });
  }

  /** Ends an exchange of the bucket that was cut short. */
  resume(): void {
    const { credentials, log } = this.#context;
    const { s3 } = credentials.current;
    if (s3?.path === undefined || this.#isFixed('s3')) return;
    const { path, ...bucket } = s3;
    try {
      this.#takeIntoUse(path, bucket);
    } catch (error) {
      log('error', `S3 is not in use: ${BackupError.from(error).message}. Set it up again on the page.`);
    }
  }

  async #inTurn<Result>(
    part: SetUpPart,
    work: () => Promise<{ readonly result: Result; readonly detail: string }>,
  ): Promise<Result> {
    const act = { act: 'settings', subject: part } as const;
    const turn = this.#turn.then(async () => {
      const done = ({ detail }: { readonly detail: string }) => ({ ...act, detail });
      return (await this.#context.audit.carry(act, work, { done })).result;
    });
    this.#turn = turn.catch(() => {});
    return await turn;
  }

  async #keep(given: SetUp): Promise<void> {
    const { credentials, options } = this.#context;
    if (given.part === 's3') {
      const { part, path, ...bucket } = given;
      return await this.#exchangeBucket({ path, bucket });
    }
    if (given.part === 'folder') credentials.change('folder', toStoredFolder(given, options.audit?.name));
    else credentials.change(given.part, { url: given.url });
    await this.#changed(given.part);
  }

  /**
   * One write decides, which puts the path beside the bucket: a process that was killed after that write ends the exchange
   * at its next start.
   *
   * @throws BackupError; then the bucket of before is in use as it was.
   */
  async #exchangeBucket(next: { readonly path: string; readonly bucket: Bucket } | null): Promise<void> {
    const { credentials, log } = this.#context;
    const before = credentials.current.s3 ?? null;
    credentials.change('s3', next && { ...next.bucket, path: next.path });
    try {
      // Nothing of the old bucket is under way when the path becomes another one.
      await this.#changed('s3');
      if (!next) this.#parts.updateConfig({ s3Enabled: false });
      else this.#takeIntoUse(next.path, next.bucket);
    } catch (error) {
      try {
        credentials.change('s3', before);
        await this.#changed('s3');
      } catch (further) {
        log('error', `S3 could not be set up as it was before: ${BackupError.from(further).message}.`);
      }
      throw error;
    }
  }

  /** @throws BackupError if the place is taken by now; then it is not in use. */
  #takeIntoUse(s3Path: string, bucket: Bucket): void {
    const { credentials, log } = this.#context;
    this.#parts.updateConfig({ s3Path, s3Enabled: true });
    try {
      credentials.change('s3', bucket);
    } catch (error) {
      log('warn', `S3 is in use, and its exchange is ended at the next start: ${BackupError.from(error).message}.`);
    }
  }

  async #changed(part: SetUpPart): Promise<void> {
    this.#context.credentialsChanged();
    if (part === 's3' || part === 'folder') {
      await this.#parts.targets.targetsChanged();
      await this.#parts.continuous.targetsChanged();
    } else await this.#parts.onVoices();
    this.#context.emit({ type: 'status' });
  }

  async #try(given: Place, { signal, onFinding }: TestOptions): Promise<TargetReport> {
    const { jobs, places } = this.#context;
    const target = this.#candidateOf(given);
    await this.#requireUsable(target);
    return await jobs.run<'try-target'>(
      { kind: 'try-target', target, self: places.self },
      {
        ...{ signal, mayKill: false },
        onEvent: (event) => {
          if (event.type === 'finding') onFinding?.(event.finding);
        },
      },
    );
  }

  #candidateOf(given: Place): Candidate {
    const { keptByPage, audit } = this.#context.options;
    if (given.part === 's3') {
      const { part, path, ...bucket } = given;
      return { name: part, access: { ...storedBucket(bucket, keptByPage), kind: 's3' }, prefix: path };
    }
    const folder = storedFolder(toStoredFolder(given, audit?.name), keptByPage);
    return { name: FOLDER, access: folder, prefix: folder.prefix ?? '' };
  }

  /** One request, as it is sent when something changes. */
  async #call({ part, url }: Voice, { signal, onFinding }: TestOptions): Promise<TargetReport> {
    const { now, database } = this.#context;
    const address = new URL(url);
    await requireAllowedHost(address.hostname, 'url');
    const fromMs = performance.now();
    const { isTaken, answer } = await ask(address, {
      timeoutMs: NOTIFY_WAITS.timeoutMs,
      signal: signal ?? new AbortController().signal,
      ...(part === 'webhook' && { body: JSON.stringify(testMessage(database.name, now())) }),
    });
    const ms = Math.round(performance.now() - fromMs);
    const finding: Finding = {
      ...{ check: 'answer', result: isTaken ? 'ok' : 'failed', message: answer, ms },
      hint: isTaken ? null : 'Look whether the address is complete, and whether this server may reach it.',
    };
    onFinding?.(finding);
    return { target: part, place: masked(url) ?? '', ok: isTaken, ms, findings: [finding], policy: null };
  }

  /** @throws BackupError BAD_CONFIG */
  async #requireUsable({ name, access, prefix }: Candidate): Promise<void> {
    this.#requireFree(name === 's3' ? 's3' : 'folder');
    const { options, targets, settings } = this.#context;
    const others = targets.targets?.filter((one) => one.name !== name) ?? [];
    const next: TargetOptions =
      access.kind === 's3'
        ? { ...targets, s3: { ...access, retentionCount: null } }
        : { ...targets, targets: [...others, { ...access, name, prefix, retentionCount: null }] };
    checkTargets(next, { ...settings.current, ...(access.kind === 's3' && { s3Path: prefix }) });
    const owner = options.ownerOfPlace?.(access, prefix);
    if (owner) throw new SettingsError({ path: `is that of the database ${owner}; choose another one` });
    if (access.kind !== 's3') return;
    const { hostname } = serverOf(access);
    await requireAllowedHost(hostname, 'endpoint');
    if (!access.forcePathStyle) await requireAllowedHost(`${access.bucket}.${hostname}`, 'endpoint');
  }

  #requireFree(part: SetUpPart): void {
    if (!this.#isFixed(part)) return;
    throw new BackupError('BAD_CONFIG', `${words[part]} is set by ${variables[part]}, or in the app's code`, {
      hint: 'That wins over the page: change it there, or remove it there first.',
    });
  }

  #isFixed(part: SetUpPart): boolean {
    const { s3, targets = [], voices } = this.#context.options;
    const fixed: Readonly<Record<SetUpPart, boolean>> = {
      s3: Boolean(s3),
      folder: targets.some(({ name }) => name === FOLDER),
      webhook: Boolean(voices?.webhookUrl),
      heartbeat: Boolean(voices?.heartbeatUrl),
    };
    return fixed[part];
  }
}

function isVoice(given: SetUp): given is Voice {
  return given.part === 'webhook' || given.part === 'heartbeat';
}

/** Everything but the secret. */
function shownBucket(stored: Bucket): ShownSetUp['bucket'] {
  const { bucket, region, endpoint, accessKey, lifecycleDays } = stored;
  return { bucket, region, endpoint, accessKey, lifecycleDays };
}

/** Among several databases each has its own folder there. */
function toStoredFolder({ path }: { readonly path: string }, name = ''): NonNullable<Stored['folder']> {
  return { path, below: name };
}

function serverOf({ endpoint, region }: { readonly endpoint?: string | null; readonly region: string }): URL {
  return new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
}

/** What stands behind the server's name is a secret, as is a name before it. */
function masked(url: string | null | undefined): string | null {
  if (!url) return null;
  const { protocol, host, pathname, search } = new URL(url);
  return `${protocol}//${host}${pathname === '/' && search === '' ? '/' : '/…'}`;
}
