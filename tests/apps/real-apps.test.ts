/**
 * Real apps from Debian and npm, backed up and restored while they are in use; each judges the result itself. What they
 * meet is a table in docs/hard-cases.md.
 */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { statSync } from 'node:fs';
import { isLocked } from '../../src/engine/disk/lock.ts';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import { areMissing } from '../support/programs.ts';
import { openBeets } from './beets.ts';
import { Chromium } from './chromium.ts';
import { Firefox, PROGRAM as FIREFOX } from './firefox.ts';
import { openFossil } from './fossil.ts';
import { tellStory, upTo } from './story.ts';
import { goOn, type Guard, Workplace } from './work.ts';

setDefaultTimeout(300_000);

for (const journalMode of ['delete', 'wal'] as const)
  test.concurrent(
    `Fossil with journal mode ${journalMode} commits while it is backed up and restored, and finds its repository whole`,
    async () => {
      if (areMissing(['fossil'])) return;
      await using place = new Workplace();
      await tellStory(place, await openFossil(place, journalMode));
    },
  );

test.concurrent(
  'beets changes tracks while it is backed up and restored, and lists its library as it was',
  async () => {
    if (areMissing(['beet'], ['beets'])) return;
    await using place = new Workplace();
    await tellStory(place, await openBeets(place));
  },
);

test.concurrent(
  'Firefox that shares its databases adds bookmarks while they are backed up and restored, and finds them sane',
  async () => {
    if (areMissing([FIREFOX])) return;
    await using place = new Workplace();
    await tellStory(place, new Firefox(place, { isExclusive: false }));
  },
);

test.concurrent(
  'Firefox as it comes keeps everybody out, which is said; closed, its history is backed up and restored',
  async () => {
    if (areMissing([FIREFOX])) return;
    await using place = new Workplace();
    using pages = servePages();
    const firefox = new Firefox(place, { isExclusive: true });
    const places = place.guard(firefox.database);
    await firefox.visit(pages.url('first'));
    await firefox.write(1);

    expect(await lockOf(places)).toMatch(/places\.sqlite was locked by another process for 2 s.+holds it exclusively/);
    // A backup waits as for a long write, which the browser does not notice, and has its turn when that is closed.
    const waiting = places.backUp();
    while (!isLocked(places.file(LOCK_FILE))) await Bun.sleep(20);
    await firefox.write(2);
    await firefox.check();
    await firefox.stop();
    const backup = await waiting;
    // SQLite was told to let the file grow in large steps: it is longer than its pages, and the copy is not.
    expect(statSync(firefox.database).size).toBeGreaterThan(statSync(places.file(backup)).size);

    await firefox.visit(pages.url('second'));
    await firefox.write(3);
    const refusal = await places.refuses(`restore ${backup} --in-place --yes`);
    expect(refusal).toContain('RESTORE_IN_USE');
    expect(refusal).toContain((await firefox.hold()).process);
    const [first, both] = [[pages.url('first')], [pages.url('first'), pages.url('second')]];
    expect(await firefox.history()).toEqual(both);
    await firefox.stop();

    await places.does(`restore ${backup} --in-place --yes`);
    await firefox.check();
    expect([await firefox.history(), await firefox.written()]).toEqual([first, [1, 2]]);
    await firefox.stop();
    await places.does('undo --in-place --yes');
    await firefox.check();
    expect([await firefox.history(), await firefox.written()]).toEqual([both, [1, 2, 3]]);
    await firefox.stop();
  },
);

test.concurrent(
  'Chromium has its cookies backed up while it gets more, and finds them again; what it locks is refused',
  async () => {
    await using place = new Workplace();
    using pages = servePages();
    await using chromium = new Chromium(place);
    const [cookies, quota] = [
      place.guard(chromium.path('Cookies')),
      place.guard(chromium.path('WebStorage/QuotaManager')),
    ];
    await chromium.visit(pages.url('first'));
    // It writes in order, a moment later, and has no patience: what SQLite refuses in the moment of a copy it drops.
    const writtenBytes = () =>
      ['', '-wal'].map((end) => statSync(cookies.database + end, { throwIfNoEntry: false })?.size ?? 0).join();
    const bytesBefore = writtenBytes();
    const getting = goOn(1, (number) => Promise.all([chromium.write(number), Bun.sleep(100)]));
    await getting.more(3);
    while (writtenBytes() === bytesBefore) await Bun.sleep(20);
    const backup = await cookies.backUp();
    await getting.more(3);
    await getting.stop();
    const inMemory = upTo(getting.done);
    expect(await chromium.written()).toEqual(inMemory);

    const locks = await Promise.all([lockOf(quota), lockOf(place.guard(chromium.path('DIPS')))]);
    expect(locks[0]).toMatch(/QuotaManager was locked by another process for 2 s.+locking_mode=EXCLUSIVE/);
    expect(locks[1]).toMatch(/DIPS was locked by another process for 2 s.+locking_mode=EXCLUSIVE/);
    // Online, it goes on with the cookies that it has in memory: no way for an app of this kind.
    await cookies.does(`restore ${backup} --online --yes`);
    expect(await chromium.written()).toEqual(inMemory);
    await cookies.does('undo --yes');
    expect(await cookies.refuses(`restore ${backup} --in-place --yes`)).toMatch(
      /chrom\S* \(process \d+\) has .*Cookies open \(RESTORE_IN_USE\)/,
    );

    const kept = await chromium.writtenAfterRestart();
    expect(inMemory).toEqual(expect.arrayContaining([...kept]));
    await chromium.close();
    await cookies.does(`restore ${backup} --in-place --yes`);
    const restored = await chromium.written();
    await chromium.close();
    expect(restored.length).toBeGreaterThan(0);
    expect(restored.length).toBeLessThan(kept.length);
    expect(restored).toEqual(kept.slice(0, restored.length));
    await cookies.does('undo --in-place --yes');
    expect(await chromium.written()).toEqual(kept);
    await chromium.close();
    // Closed, it lets everybody in.
    await quota.backUp();
  },
);

/** What the doctor says of a database that it can't read. */
async function lockOf(guard: Guard): Promise<string> {
  const { findings }: { findings: readonly { code: string }[] } = JSON.parse(await guard.answers('doctor --json', 1));
  return JSON.stringify(findings.find(({ code }) => code === 'database'));
}

/** Pages on the loopback; each sets a cookie of its own name. */
function servePages(): { url(name: string): string } & Disposable {
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const name = new URL(request.url).pathname.slice(1);
      const headers = { 'content-type': 'text/html', 'set-cookie': `${name}=1; Max-Age=86400` };
      return new Response(`<title>${name}</title>`, { headers });
    },
  });
  return { url: (name) => `http://127.0.0.1:${server.port}/${name}`, [Symbol.dispose]: () => void server.stop(true) };
}
