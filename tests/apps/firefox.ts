/**
 * Firefox, driven by its own remote protocol (WebDriver BiDi), with the rights of its own code: so it can be asked for
 * bookmarks and history, and to judge its databases. It holds them exclusively, unless a preference is switched off.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordingApp } from './story.ts';
import { end, type Workplace } from './work.ts';

export const PROGRAM = 'firefox-esr';

/** Bookmarks are its writes. Started when it is asked something. */
export class Firefox implements RecordingApp {
  readonly #place: Workplace;
  readonly #profile: string;
  #running: Promise<Running> | null = null;
  readonly database: string;
  readonly busyWords = /BUSY|locked/i;

  constructor(place: Workplace, options: { readonly isExclusive: boolean }) {
    this.#place = place;
    this.#profile = place.path('profile');
    this.database = join(this.#profile, 'places.sqlite');
    const preferences = {
      'storage.sqlite.exclusiveLock.enabled': options.isExclusive,
      'browser.shell.checkDefaultBrowser': false,
      'browser.aboutwelcome.enabled': false,
      'app.update.enabled': false,
      'app.normandy.enabled': false,
      'datareporting.healthreport.uploadEnabled': false,
      'extensions.update.enabled': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'services.settings.server': 'data:,',
      'toolkit.telemetry.server': 'data:,',
    };
    mkdirSync(this.#profile);
    const lines = Object.entries(preferences).map(
      ([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`,
    );
    writeFileSync(join(this.#profile, 'user.js'), lines.join(''));
  }

  async visit(url: string): Promise<void> {
    const { ask, tab } = await this.#browser();
    await ask('browsingContext.navigate', { context: tab, url, wait: 'complete' });
  }

  async write(number: number): Promise<void> {
    await this.#evaluate(
      `await PlacesUtils.bookmarks.insert({
        parentGuid: PlacesUtils.bookmarks.menuGuid, url: 'http://127.0.0.1/${number}', title: 'page ${number}' })`,
    );
  }

  async written(path = this.database): Promise<readonly number[]> {
    const titles = await this.#select(path, `SELECT title FROM moz_bookmarks WHERE substr(title, 1, 5) = 'page '`);
    return titles.map((title) => Number(title.slice('page '.length))).sort((a, b) => a - b);
  }

  /** Pages that were visited, by the path of their address. */
  history(path = this.database): Promise<readonly string[]> {
    return this.#select(path, `SELECT url FROM moz_places WHERE visit_count > 0 ORDER BY id`);
  }

  /** A database that it finds damaged it replaces by its own backup of bookmarks, at its start. */
  async check(path = this.database): Promise<void> {
    const found = await this.#select(path, 'PRAGMA integrity_check');
    if (found.join() !== 'ok') throw new Error(found.join('\n'));
    if (path !== this.database) return;
    const said = await this.#evaluate(
      `const { PlacesDBUtils } = ChromeUtils.importESModule('resource://gre/modules/PlacesDBUtils.sys.mjs');
      const findings = [...(await PlacesDBUtils.runTasks([PlacesDBUtils.checkIntegrity, PlacesDBUtils.checkCoherence]))];
      return { findings, hasCorrupt: await IOUtils.exists('${this.database}.corrupt') }`,
    );
    if (/"succeeded":false|"hasCorrupt":true/.test(said) || !/database is sane/.test(said)) throw new Error(said);
  }

  async hold() {
    const { process } = await this.#browser();
    return { process: `${PROGRAM} (process ${process.pid})`, release: async () => {} };
  }

  async stop(): Promise<void> {
    const running = await this.#running;
    this.#running = null;
    if (!running) return;
    const ended = once(running.process, 'exit');
    await running.ask('browser.close');
    await Promise.race([ended, Bun.sleep(60_000)]);
    await end(running.process);
  }

  /** The first column. */
  async #select(path: string, sql: string): Promise<readonly string[]> {
    const said = await this.#evaluate(
      `const { Sqlite } = ChromeUtils.importESModule('resource://gre/modules/Sqlite.sys.mjs');
      const isOwn = ${path === this.database};
      const database = isOwn
        ? await PlacesUtils.promiseDBConnection()
        : await Sqlite.openConnection({ path: '${path}', readOnly: true });
      const rows = await database.execute(${JSON.stringify(sql)});
      if (!isOwn) await database.close();
      return rows.map((row) => row.getResultByIndex(0))`,
    );
    return JSON.parse(said);
  }

  async #evaluate(statements: string): Promise<string> {
    return await evaluateIn(await this.#browser(), statements);
  }

  #browser(): Promise<Running> {
    this.#running ??= this.#start();
    return this.#running;
  }

  async #start(): Promise<Running> {
    const args = ['--headless', '--no-remote', '--profile', this.#profile];
    const remote = ['--remote-debugging-port', '0', '--remote-allow-system-access', 'about:blank'];
    const process = this.#place.start(PROGRAM, [...args, ...remote]);
    const ask = await connect(await addressOf(process));
    await ask('session.new', { capabilities: {} });
    const first = async (scope: object) => {
      const { contexts = [] } = await ask('browsingContext.getTree', scope);
      return contexts[0]?.context ?? '';
    };
    const running = { process, ask, tab: await first({}), window: await first({ 'moz:scope': 'chrome' }) };
    await evaluateIn(running, untilPlacesAreMade);
    return running;
  }
}

/** A new profile gets the browser's own bookmarks a moment after its start, and whatever was there before is erased. */
const untilPlacesAreMade = `
  const topic = 'places-browser-init-complete';
  const made = new Promise((resolve) => {
    Services.obs.addObserver(function observer() {
      Services.obs.removeObserver(observer, topic);
      resolve();
    }, topic);
  });
  // Said once more where it was said already.
  Cc['@mozilla.org/browser/browserglue;1'].getService(Ci.nsIObserver).observe(null, 'browser-glue-test', topic);
  await made`;

async function evaluateIn({ ask, window }: Running, statements: string): Promise<string> {
  const expression = `(async () => {
    const { PlacesUtils } = ChromeUtils.importESModule('resource://gre/modules/PlacesUtils.sys.mjs');
    return JSON.stringify(await (async () => { ${statements} })() ?? null);
  })()`;
  const answer = await ask('script.evaluate', { expression, awaitPromise: true, target: { context: window } });
  if (answer.type !== 'success') throw new Error(JSON.stringify(answer.exceptionDetails ?? answer));
  return answer.result?.value ?? '';
}

interface Running {
  readonly process: ChildProcess;
  readonly ask: Ask;
  readonly tab: string;
  /** Where its own code runs. */
  readonly window: string;
}

interface Answer {
  readonly type?: string;
  readonly contexts?: readonly { readonly context: string }[];
  readonly result?: { readonly value?: string };
  readonly exceptionDetails?: unknown;
}

type Ask = (method: string, params?: object) => Promise<Answer>;

async function addressOf(process: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  process.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const address = /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
    if (address !== undefined) resolve(address);
  });
  process.once('exit', () => reject(new Error(`${PROGRAM} ended: ${said}`)));
  process.stdout?.resume();
  return await promise;
}

async function connect(address: string): Promise<Ask> {
  const socket = new WebSocket(`${address}/session`);
  const waiting = new Map<number, (message: { type: string; result: Answer }) => void>();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(String(data));
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  };
  const { promise: open, resolve, reject } = Promise.withResolvers<void>();
  socket.onopen = () => resolve();
  socket.onclose = () => {
    reject(new Error(`${address} closed`));
    for (const answer of waiting.values()) answer({ type: 'closed', result: {} });
  };
  await open;
  let id = 0;
  return async (method, params = {}) => {
    const { promise, resolve: answer } = Promise.withResolvers<{ type: string; result: Answer }>();
    waiting.set(++id, answer);
    socket.send(JSON.stringify({ id, method, params }));
    const message = await promise;
    if (message.type === 'error') throw new Error(JSON.stringify(message));
    return message.result;
  };
}
