/**
 * All that the overview knows, and the one stream that keeps it true: first all databases, then those that changed. The
 * order of the list stays while the pointer or the focus is inside, so that nobody presses what has just moved.
 */
import type { DatabaseRow, DatabasesEvent } from '../../http/contract.ts';
import { ApiError, address, api } from '../api.ts';
import { said } from '../text/format.ts';
import { askedText, type Group, groupOf, inOrder, isFound, tallies, urgentText } from '../text/overview.ts';
import { clock } from './clock.svelte.ts';
import { toasts } from './toasts.svelte.ts';

const silenceMs = 12_000;
const watchMs = 500;
const retryMs = 2_000;
const gatherMs = 120;
/** Bars move on without any event. */
const stripAgeMs = 300_000;
const stripsAtOnce = 100;

interface Listed {
  readonly name: string;
  readonly group: Group;
}

class Overview {
  contact = $state<'loading' | 'live' | 'lost'>('loading');
  /** What the server said when it refused. */
  refusal = $state.raw<ApiError | null>(null);
  rows = $state.raw<ReadonlyMap<string, DatabaseRow>>(new Map());
  /** All of them in the order in which they are shown. */
  order = $state.raw<readonly Listed[]>([]);
  strips = $state.raw<ReadonlyMap<string, string>>(new Map());
  search = $state('');
  group = $state<Group | null>(null);
  picks = $state.raw<ReadonlySet<string>>(new Set());
  announcement = $state('');
  alert = $state('');

  readonly tallies = $derived(tallies(this.rows.values()));
  readonly shown = $derived(
    this.order.filter(({ name, group }) => {
      const row = this.rows.get(name);
      return row !== undefined && (this.group === null || group === this.group) && isFound(row, this.search);
    }),
  );
  readonly picked = $derived([...this.rows.values()].filter(({ name }) => this.picks.has(name)));

  #isHeld = false;
  #stream: EventSource | null = null;
  #heardAt = 0;
  #connectedAt = 0;
  #retryAt = 0;
  #anchor: string | null = null;
  readonly #stripsOf = new Map<string, { readonly key: string; readonly atMs: number }>();
  #stripsTimer: ReturnType<typeof setTimeout> | undefined;

  /** Connects and stays connected; returns the function that ends it. */
  start(): () => void {
    this.#heard();
    this.#connect();
    const watch = setInterval(() => this.#watch(), watchMs);
    const stopClock = clock.start(() => this.contact === 'lost');
    return () => {
      clearInterval(watch);
      clearTimeout(this.#stripsTimer);
      stopClock();
      this.#stream?.close();
    };
  }

  /** @param isHeld the pointer or the focus is in the list. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (!isHeld) this.#sort();
  }

  filter(group: Group | null): void {
    this.group = this.group === group ? null : group;
    this.#sort();
  }

  pick(name: string, isPicked = !this.picks.has(name)): void {
    this.#setPicks([name], isPicked);
    this.#anchor = name;
  }

  /** From the last one that was picked to this one. */
  pickTo(name: string): void {
    const names = this.shown.map((one) => one.name);
    const [from, to] = [names.indexOf(this.#anchor ?? name), names.indexOf(name)];
    if (from === -1) this.pick(name, true);
    else this.#setPicks(names.slice(Math.min(from, to), Math.max(from, to) + 1), true);
    this.#anchor = name;
  }

  pickAll(isPicked: boolean): void {
    this.#setPicks(
      this.shown.map(({ name }) => name),
      isPicked,
    );
  }

  clear(): void {
    this.picks = new Set();
    this.announcement = 'Nothing is picked';
  }

  /** @param names left out: all. */
  async ask(act: 'backup' | 'verify', names?: readonly string[]): Promise<void> {
    try {
      const { accepted } = await api.askAll(act, names);
      const asked = names?.length ?? this.rows.size;
      const said = askedText(act, { accepted, asked });
      this.announcement = said.title;
      if (accepted < asked) toasts.show(said);
    } catch (error) {
      this.refused(act === 'backup' ? 'No backup was started' : 'No check was started', error);
    }
  }

  refused(title: string, error: unknown): void {
    const reason = ApiError.from(error);
    if (reason.status === 401) this.#leave(reason);
    toasts.show({ tone: 'bad', title, lines: [said(reason)] });
    this.alert = `${title}. ${said(reason)}`;
  }

  /** Fetches the bars of these where they are not known, or not as they were when they were fetched. */
  wantStrips(names: readonly string[]): void {
    clearTimeout(this.#stripsTimer);
    this.#stripsTimer = setTimeout(() => void this.#fetchStrips(names), gatherMs);
  }

  async #fetchStrips(names: readonly string[]): Promise<void> {
    const keyOf = (name: string) => {
      const { lastGoodAt, code } = this.rows.get(name) ?? {};
      return `${lastGoodAt} ${code}`;
    };
    const now = performance.now();
    const wanted = names
      .filter((name) => {
        const known = this.#stripsOf.get(name);
        return known?.key !== keyOf(name) || now - known.atMs > stripAgeMs;
      })
      .slice(0, stripsAtOnce);
    if (wanted.length === 0) return;
    for (const name of wanted) this.#stripsOf.set(name, { key: keyOf(name), atMs: now });
    try {
      const strips = await api.strips(wanted);
      this.strips = new Map([...this.strips, ...Object.entries(strips)]);
    } catch {
      // The list holds without them; they are asked for again when something changes.
      for (const name of wanted) this.#stripsOf.delete(name);
    }
  }

  #setPicks(names: readonly string[], isPicked: boolean): void {
    const picks = new Set(this.picks);
    for (const name of names) isPicked ? picks.add(name) : picks.delete(name);
    this.picks = picks;
    this.announcement = `${picks.size} of ${this.rows.size} picked`;
  }

  #connect(): void {
    this.#retryAt = 0;
    this.#connectedAt = performance.now();
    const stream = new EventSource(address('api/events'));
    this.#stream = stream;
    stream.addEventListener('databases', ({ data }: MessageEvent<string>) => {
      if (stream !== this.#stream) return;
      this.#heard();
      // The server checks its events against the same contract.
      this.#apply(JSON.parse(data) as DatabasesEvent);
    });
    stream.addEventListener('ping', () => stream === this.#stream && this.#heard());
    stream.addEventListener('error', () => {
      if (stream !== this.#stream) return;
      stream.close();
      this.#stream = null;
      this.#retryAt = performance.now() + retryMs;
      void this.#askWhy();
    });
  }

  #heard(): void {
    this.#heardAt = performance.now();
  }

  /** A failed stream does not say why; a refused sign-in is told from a server that is gone by asking once. */
  async #askWhy(): Promise<void> {
    try {
      await api.session();
    } catch (error) {
      const reason = ApiError.from(error);
      if (reason.status === 401 || reason.status === 403) this.#leave(reason);
    }
  }

  #leave(reason: ApiError): void {
    this.refusal = reason;
    this.contact = 'lost';
    if (reason.code === 'UNAUTHORIZED') location.assign(address('login'));
  }

  #watch(): void {
    const now = performance.now();
    if (now - this.#heardAt > silenceMs && this.contact !== 'lost') {
      this.contact = 'lost';
      // What is shown was true when the server was last heard, not now.
      clock.now -= now - this.#heardAt;
      this.alert = 'No contact with the server';
    }
    // A stream that is open but says nothing (a proxy that holds it back, a sleeping laptop) is opened anew.
    if (this.#stream !== null && now - Math.max(this.#heardAt, this.#connectedAt) > silenceMs) {
      this.#stream.close();
      this.#stream = null;
      this.#retryAt = now;
    }
    if (this.#stream === null && now >= this.#retryAt) this.#connect();
  }

  #apply({ serverTime, isAll, databases }: DatabasesEvent): void {
    const before = this.rows;
    clock.set(serverTime);
    this.contact = 'live';
    this.refusal = null;
    if (databases.length === 0 && !isAll) return;
    const rows = new Map(isAll ? [] : before);
    for (const row of databases) rows.set(row.name, row);
    this.rows = rows;
    this.#unpickDone(databases, before);
    const urgent = databases.filter((row) => groupOf(row) === 'attention' && isLess(before.get(row.name)));
    if (urgent.length > 0 && before.size > 0) this.alert = urgentText(urgent);
    if (!this.#isHeld || before.size === 0) this.#sort();
    else this.#append();
  }

  /** What was done is no longer picked; what failed stays, to be tried again. */
  #unpickDone(changed: readonly DatabaseRow[], before: ReadonlyMap<string, DatabaseRow>): void {
    const done = changed.filter(
      ({ name, errand }) =>
        this.picks.has(name) && errand?.state === 'done' && before.get(name)?.errand?.state !== 'done',
    );
    const gone = [...this.picks].filter((name) => !this.rows.has(name));
    if (done.length + gone.length === 0) return;
    const left = new Set([...done.map(({ name }) => name), ...gone]);
    this.picks = new Set([...this.picks].filter((name) => !left.has(name)));
  }

  #sort(): void {
    this.order = listed(this.rows.values());
  }

  /** Those that appeared, below all others: nothing moves. */
  #append(): void {
    const known = new Set(this.order.map(({ name }) => name));
    const appeared = [...this.rows.values()].filter(({ name }) => !known.has(name));
    if (appeared.length > 0) this.order = [...this.order, ...listed(appeared)];
  }
}

const listed = (rows: Iterable<DatabaseRow>): Listed[] =>
  inOrder(rows).map((row) => ({ name: row.name, group: groupOf(row) }));
const isLess = (row: DatabaseRow | undefined): boolean => row === undefined || groupOf(row) !== 'attention';

export const overview = new Overview();
