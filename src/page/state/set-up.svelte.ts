/**
 * A bucket or a folder while it is set up: three steps, of which a folder has no key. The secret is in this object alone, and
 * is gone with it.
 */
import type { Finding, PlannedSetUp, S3Place, SetUp, ShownSetUp, TargetReport } from '../../http/contract.ts';
import { ApiError, api } from '../api.ts';
import { testSetUp } from '../set-up-test.ts';
import { fieldOf, placeOf, services, whereOf } from '../text/set-up.ts';

type Step = 'where' | 'key' | 'test';
export type Part = 's3' | 'folder';

export const stepWords: Readonly<Record<Step, string>> = { where: 'Where', key: 'Key', test: 'Test and save' };

export class SetUpDraft {
  readonly part: Part;
  readonly steps: readonly Step[];
  readonly shown: ShownSetUp;
  step = $state<Step>('where');
  where = $state(whereOf({ bucket: '', region: '', endpoint: null }, ''));
  /** The second folder. */
  folder = $state('');
  accessKey = $state('');
  secretKey = $state('');
  keptIn = $state<'server' | 'environment'>('server');
  /** A rule of the bucket removes old copies, after so many days. */
  isLeftToBucket = $state(false);
  lifecycleDays = $state<number | null>(90);
  plan = $state.raw<PlannedSetUp | null>(null);
  faults = $state.raw<Readonly<Record<string, string>>>({});
  failure = $state.raw<ApiError | null>(null);
  isBusy = $state(false);
  findings = $state.raw<readonly Finding[]>([]);
  report = $state.raw<TargetReport | null>(null);
  isSaving = $state(false);
  #testing: AbortController | null = null;

  constructor(part: Part, shown: ShownSetUp) {
    this.part = part;
    this.shown = shown;
    this.steps = part === 's3' ? ['where', 'key', 'test'] : ['where', 'test'];
    const { bucket, s3Path } = shown;
    this.where = whereOf(bucket ?? { bucket: '', region: '', endpoint: null }, s3Path);
    this.accessKey = bucket?.accessKey ?? '';
    this.isLeftToBucket = bucket?.lifecycleDays != null;
    this.lifecycleDays = bucket?.lifecycleDays ?? 90;
  }

  /** To leave now would lose what was given once. */
  get isHeld(): boolean {
    return this.secretKey !== '';
  }

  get place(): S3Place {
    return { ...placeOf(this.where), lifecycleDays: this.isLeftToBucket ? this.lifecycleDays : null };
  }

  get given(): SetUp {
    if (this.part === 'folder') return { part: 'folder', path: this.folder.trim() };
    const place = { forcePathStyle: null, ...this.place } as Omit<
      Extract<SetUp, { part: 's3' }>,
      'part' | 'accessKey' | 'secretKey'
    >; // as it is sent
    return { part: 's3', ...place, accessKey: this.accessKey.trim(), secretKey: this.secretKey.trim() };
  }

  get before(): Step | null {
    return this.steps[this.steps.indexOf(this.step) - 1] ?? null;
  }

  get after(): Step | null {
    return this.steps[this.steps.indexOf(this.step) + 1] ?? null;
  }

  async next(): Promise<void> {
    if (this.isBusy) return;
    this.failure = null;
    this.faults = this.#missing();
    if (Object.keys(this.faults).length > 0) return;
    if (this.step === 'where' && this.part === 's3' && !(await this.#look())) return;
    const { after } = this;
    if (after !== null) this.go(after);
  }

  /** What this step needs and does not have. */
  #missing(): Readonly<Record<string, string>> {
    const empty = (fields: Readonly<Record<string, string>>) =>
      Object.fromEntries(
        Object.entries(fields).flatMap(([name, text]) => (text.trim() === '' ? [[name, 'is needed']] : [])),
      );
    if (this.step === 'key') {
      const isTooFew = this.isLeftToBucket && !((this.lifecycleDays ?? 0) >= 2);
      const { accessKey, secretKey } = this;
      return { ...empty({ accessKey, secretKey }), ...(isTooFew && { lifecycleDays: 'at least 2 days' }) };
    }
    if (this.part === 'folder') return empty({ path: this.folder });
    const { bucket, path } = this.where;
    const asked = services[this.where.service].asks.map((name) => [name, this.where[name]]);
    return empty({ ...Object.fromEntries(asked), bucket, path });
  }

  go(step: Step): void {
    this.stop();
    this.failure = null;
    this.step = step;
    if (step === 'test') void this.test();
  }

  /** What the server makes of the place, before it is asked; shown again when the right of the key changes. */
  async #look(): Promise<boolean> {
    this.isBusy = true;
    try {
      this.plan = await api.planSetUp(this.place);
      return true;
    } catch (error) {
      this.#refused(error);
      return false;
    } finally {
      this.isBusy = false;
    }
  }

  /** The policy that the key needs, anew. */
  async look(): Promise<void> {
    if ((this.lifecycleDays ?? 0) >= 2 || !this.isLeftToBucket) await this.#look();
  }

  async test(): Promise<void> {
    this.stop();
    const testing = new AbortController();
    this.#testing = testing;
    const { signal } = testing;
    this.findings = [];
    this.report = null;
    this.failure = null;
    try {
      const onFinding = (finding: Finding) => {
        if (!signal.aborted) this.findings = [...this.findings, finding];
      };
      const report = await testSetUp(this.given, { signal, onFinding });
      if (!signal.aborted) this.report = report;
    } catch (error) {
      if (!signal.aborted) this.#refused(error);
    } finally {
      if (this.#testing === testing) this.#testing = null;
    }
  }

  stop(): void {
    this.#testing?.abort();
    this.#testing = null;
  }

  /** Answers whether it is in use now. */
  async save(): Promise<boolean> {
    if (this.isSaving) return false;
    this.isSaving = true;
    this.failure = null;
    try {
      const report = await api.saveSetUp(this.given);
      this.report = report;
      this.findings = report.findings;
      return report.ok;
    } catch (error) {
      this.#refused(error);
      return false;
    } finally {
      this.isSaving = false;
    }
  }

  #refused(error: unknown): void {
    const failure = ApiError.from(error);
    const known = Object.entries(failure.fields).map(([name, says]) => [fieldOf(name, this.where.service), says]);
    this.faults = Object.fromEntries(known);
    // What stands beside its field need not be said twice.
    this.failure = known.length > 0 && this.step !== 'test' ? null : failure;
  }
}
