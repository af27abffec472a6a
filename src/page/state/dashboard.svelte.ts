/**
 * All that the page knows of the server, and the one stream that keeps it true.
 *
 * The stream is server-sent events with a ping every 5 s. After each (re)connection everything is fetched anew, because
 * events that fell into the gap are gone. Silence of 10 s means that the contact is lost: the page then keeps what it
 * last knew, dimmed, and says since when. Our own reconnection replaces the browser's, which gives up for good on some
 * answers of proxies.
 *
 * A run shorter than 400 ms would only flicker, so its steps are shown from then on.
 */
import type { Activity, Backup, Run, RunProgress, Status } from '../../http/contract.ts';
import { ApiError, address, api } from '../api.ts';
import { ranges } from '../text/activity.ts';
import { sentence } from '../text/format.ts';
import { backupText, takenOverText, tooFarBackText } from '../text/outcomes.ts';
import { clock } from './clock.svelte.ts';
import { recall, remember } from './memory.ts';
import { toasts } from './toasts.svelte.ts';

type Contact = 'loading' | 'live' | 'lost' | 'refused';

const silenceMs = 10_000;
const watchMs = 500;
const retryDelaysMs = [500, 1000, 2000, 3000, 5000];
const showRunAfterMs = 400;
const gatherMs = 150;
/** A little longer than the glow of the new row. */
const glowMs = 4000;
/** As many runs as the server gives; a bar of the chart may open one that is older than the usual hundred. */
const runsUsual = 100;
const runsMost = 1000;
/** Time passes without events too: planned runs are missed, bars move on. */
const activityAgeMs = 60_000;
class Dashboard {
  contact = $state<Contact>('loading');
  status = $state.raw<Status | null>(null);
  backups = $state.raw<readonly Backup[]>([]);
  runs = $state.raw<readonly Run[]>([]);
  /** For the range chosen, or the one before it until its answer is there. */
  activity = $state.raw<Activity | null>(null);
  /** Why there is no activity. */
  activityError = $state<string | null>(null);
  range = $state<Activity['range']>(ranges.find((range) => range === recall('range')) ?? '24h');
  /** What the server said when it refused to show the page, and what to do. */
  refusal = $state.raw<{ message: string; hint: string } | null>(null);
  /** Milliseconds to the next try while there is no contact. */
  retryInMs = $state(0);
  /** The run this page asked for; null when it ended. */
  ownRun = $state<string | null>(null);
  newest = $state<string | null>(null);
  /** Said to screen readers, never shown. */
  announcement = $state('');
  alert = $state('');

  /** Backups of this database; a place may hold those of others too. */
  readonly own = $derived(this.backups.filter(({ other }) => other === null));
  /** Without those that came from elsewhere. */
  readonly made = $derived(this.own.filter(({ arrived }) => !arrived));
  readonly online = $derived(this.contact === 'live');
  readonly run = $derived(this.status?.run ?? null);
  readonly isRestoring = $derived(this.run?.kind === 'restore' || this.run?.kind === 'undo');

  #stream: EventSource | null = null;
  #runsWanted = runsUsual;
  #statusesTold = 0;
  #activityAt = 0;
  #heardAt = 0;
  #connectedAt = 0;
  #retryAt = 0;
  #tries = 0;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #held: { id: string; timer: ReturnType<typeof setTimeout> } | null = null;
  #shownRun: string | null = null;
  #saidPercent = 0;
  #seenRuns = new Set<string>();

  /** Connects and keeps connected; returns the function that ends it. */
  start(): () => void {
    this.#heardAt = performance.now();
    this.#connect();
    const watch = setInterval(() => this.#watch(), watchMs);
    const stopClock = clock.start(() => this.contact === 'lost' || this.contact === 'refused');
    return () => {
      clearInterval(watch);
      clearTimeout(this.#refresh);
      stopClock();
      this.#stream?.close();
    };
  }

  reconnect(): void {
    this.#stream?.close();
    this.#connect();
  }

  /** A backup that this page asked for is reported when it ends, or at once if it has. */
  expectRun(id: string): void {
    if (this.#seenRuns.has(id)) this.#report(id);
    else this.ownRun = id;
  }

  chooseRange(range: Activity['range']): void {
    this.range = range;
    remember('range', range);
    void this.#fetchActivity();
  }

  /** Makes sure that a run is among those that are known, as far back as the server tells; says so when it is not. */
  async findRun(id: string): Promise<boolean> {
    const isKnown = () => this.runs.some((run) => run.id === id);
    if (isKnown()) return true;
    this.#runsWanted = runsMost;
    await this.attempt('The run was not found', async () => {
      this.runs = await api.runs({ limit: runsMost });
    });
    if (isKnown()) return true;
    this.#runsWanted = runsUsual;
    toasts.show(tooFarBackText);
    return false;
  }

  /** Fetches everything again soon, once for all requests that come meanwhile. */
  refresh(): void {
    this.#gather();
  }

  refused(title: string, error: unknown): void {
    const reason = ApiError.from(error);
    if (reason.status === 401) this.#refuse(reason);
    // Asked for while one is running: its progress is the answer.
    if (reason.code === 'BUSY' && this.run !== null) return;
    const lines = [sentence(reason.message), sentence(reason.hint)].filter((line) => line !== '');
    toasts.show({ tone: 'bad', title, lines });
    this.alert = `${title}. ${lines.join(' ')}`;
  }

  /** Undefined when it was refused, which is said then. */
  async attempt<Answer>(title: string, ask: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      const answer = await ask();
      this.#gather();
      return answer;
    } catch (error) {
      this.refused(title, error);
      this.#gather();
      return undefined;
    }
  }

  #connect(): void {
    this.#retryAt = 0;
    this.retryInMs = 0;
    this.#connectedAt = performance.now();
    const stream = new EventSource(address('api/events'));
    this.#stream = stream;
    const on = <Data>(type: string, use: (data: Data) => void) =>
      stream.addEventListener(type, (event: MessageEvent<string>) => {
        if (stream !== this.#stream) return;
        this.#heard();
        // The server checks its events against the same contract.
        use(JSON.parse(event.data) as Data);
      });
    stream.addEventListener('open', () => {
      if (stream !== this.#stream) return;
      this.#tries = 0;
      this.#heard();
      void this.#fetchAll();
    });
    on<Status>('status', (status) => {
      this.#statusesTold++;
      this.#setStatus(status);
    });
    on<RunProgress>('progress', (run) => this.#setRun(run));
    on<Run>('run', (run) => this.#endRun(run));
    on('backups', () => this.#gather());
    on('ping', () => {});
    stream.addEventListener('error', () => {
      if (stream !== this.#stream) return;
      stream.close();
      this.#stream = null;
      void this.#askWhy();
      this.#retryAt = performance.now() + (retryDelaysMs[Math.min(this.#tries++, retryDelaysMs.length - 1)] ?? 0);
    });
  }

  #heard(): void {
    this.#heardAt = performance.now();
    if (this.contact === 'lost' || this.contact === 'refused') void this.#fetchAll();
  }

  #watch(): void {
    const now = performance.now();
    const isSilent = now - this.#heardAt > silenceMs;
    if (isSilent && (this.contact === 'live' || this.contact === 'loading')) {
      this.contact = 'lost';
      // What is shown was true when the server was last heard, not now.
      clock.now -= now - this.#heardAt;
      this.alert = 'No contact with the server';
    }
    if (isSilent && this.#stream !== null && now - Math.max(this.#heardAt, this.#connectedAt) > 2 * silenceMs) {
      // A stream that is open but says nothing (a proxy that holds it back, a sleeping laptop) is opened anew.
      this.#stream.close();
      this.#stream = null;
      this.#retryAt = now;
    }
    if (this.contact === 'live' && !document.hidden && now - this.#activityAt > activityAgeMs) void this.#fetchAll();
    this.retryInMs = this.#retryAt === 0 ? 0 : Math.max(0, this.#retryAt - now);
    if (this.#stream === null && now >= this.#retryAt) this.#connect();
  }

  /** A failed stream does not say why; a refused sign-in is told from a server that is gone by asking once. */
  async #askWhy(): Promise<void> {
    try {
      await api.status();
    } catch (error) {
      this.#refuse(ApiError.from(error));
    }
  }

  /** Sign-in ran out, or this user may not read backups at all: the server says which. */
  #refuse(reason: ApiError): void {
    if (reason.status !== 401 && reason.status !== 403) return;
    this.refusal = { message: reason.message, hint: reason.hint };
    if (reason.code === 'UNAUTHORIZED') location.assign(address('login'));
    this.contact = 'refused';
  }

  #gather(): void {
    clearTimeout(this.#refresh);
    this.#refresh = setTimeout(() => void this.#fetchAll(), gatherMs);
  }

  async #fetchAll(): Promise<void> {
    try {
      void this.#fetchActivity();
      const told = this.#statusesTold;
      const [status, backups, runs] = await Promise.all([
        api.status(),
        api.backups(),
        api.runs({ limit: this.#runsWanted }),
      ]);
      this.backups = backups;
      this.runs = runs;
      for (const run of runs) this.#seenRuns.add(run.id);
      // The stream may have told a newer one meanwhile.
      const isOlder = told !== this.#statusesTold && status.serverTime < (this.status?.serverTime ?? '');
      if (!isOlder) this.#setStatus(status);
      this.contact = 'live';
      this.#heardAt = performance.now();
    } catch (error) {
      this.#refuse(ApiError.from(error));
    }
  }

  /** Never fails: the rest of the page holds without it. What is shown stays until there is an answer. */
  async #fetchActivity(): Promise<void> {
    const { range } = this;
    this.#activityAt = performance.now();
    try {
      const activity = await api.activity(range);
      if (range !== this.range) return;
      this.activity = activity;
      this.activityError = null;
    } catch (error) {
      const { message, hint } = ApiError.from(error);
      this.activityError = `${sentence(message)} ${sentence(hint)}`;
    }
  }

  #setStatus(status: Status): void {
    clock.set(status.serverTime);
    this.#sayTakenOver(status);
    const { run } = status;
    if (run !== null && this.#isTooEarly(run)) return;
    if (run === null) this.#shownRun = null;
    const known = this.status?.run ?? null;
    this.status =
      run !== null && known?.id === run.id && known.percent > run.percent ? { ...status, run: known } : status;
  }

  /** When another machine wrote at a target until now, and this one does again. */
  #sayTakenOver({ places }: Status): void {
    for (const { target, owner, writer } of places) {
      const before = this.status?.places.find((place) => place.target === target)?.writer;
      if (!before || writer !== null || owner === 'foreign') continue;
      const text = takenOverText(target, before.host);
      toasts.show(text);
      this.announcement = text.title;
    }
  }

  #setRun(run: RunProgress): void {
    if (this.status === null || this.#seenRuns.has(run.id)) return;
    if (this.#isTooEarly(run)) return;
    const known = this.status.run;
    const percent = known?.id === run.id ? Math.max(known.percent, run.percent) : run.percent;
    const isRestore = run.kind === 'restore' || run.kind === 'undo';
    this.status = {
      ...this.status,
      run: { ...run, percent },
      verdict: { code: isRestore ? 'restoring' : 'running', tone: 'blue' },
    };
    this.#say(run, percent);
  }

  /** True while a run is younger than what is worth showing; it is looked at again when it is old enough. */
  #isTooEarly(run: RunProgress): boolean {
    if (this.#shownRun === run.id || this.status === null) {
      this.#shownRun = run.id;
      return false;
    }
    if (this.#held?.id === run.id) return true;
    const isOld = clock.now - Date.parse(run.startedAt) > 2 * showRunAfterMs;
    if (isOld || run.kind === 'restore' || run.kind === 'undo') {
      this.#shownRun = run.id;
      return false;
    }
    clearTimeout(this.#held?.timer);
    const timer = setTimeout(() => {
      this.#held = null;
      if (this.#seenRuns.has(run.id)) return;
      this.#shownRun = run.id;
      this.#gather();
    }, showRunAfterMs);
    this.#held = { id: run.id, timer };
    return true;
  }

  #say(run: RunProgress, percent: number): void {
    const quarter = Math.floor(percent / 25) * 25;
    if (quarter <= this.#saidPercent || quarter >= 100) return;
    this.#saidPercent = quarter;
    this.announcement = `${run.kind === 'backup' ? 'Backup' : 'Run'}: ${quarter} percent`;
  }

  #endRun(run: Run): void {
    this.#seenRuns.add(run.id);
    this.#saidPercent = 0;
    this.runs = [run, ...this.runs.filter((known) => known.id !== run.id)].slice(0, runsMost);
    if (this.ownRun === run.id) this.#report(run.id);
    else if (run.result === 'failed')
      this.alert = `${run.kind === 'backup' ? 'The backup' : 'A run'} failed. ${sentence(run.error?.message ?? '')}`;
    this.#gather();
  }

  /** The answer to a backup that this page asked for. */
  #report(id: string): void {
    this.ownRun = null;
    const run = this.runs.find((known) => known.id === id);
    const text = run && backupText(run);
    if (!text) return;
    toasts.show(text);
    if (text.tone === 'bad') {
      this.alert = `${text.title}. ${text.lines.join(' ')}`;
      return;
    }
    this.announcement = 'Backup successful';
    this.newest = run.backup;
    setTimeout(() => {
      this.newest = null;
    }, glowMs);
  }
}

export const dashboard = new Dashboard();
