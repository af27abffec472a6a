import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { Elysia } from 'elysia';
import { BackupError } from '../../src/words/errors.ts';
import { backupRoutes } from '../../src/http/elysia.ts';
import * as contract from '../../src/http/contract.ts';
import { sayMoment } from '../../src/words/moment.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { sendBackup } from '../../src/http/send-backup.ts';
import { openBackup } from '../../src/service/backups/opened-backup.ts';
import { createFakeService, type FakeService, firstBackup, missingBackup, secondBackup } from './fake-service.ts';
import { appHosts, type Host, hosts } from './hosts.ts';

for (const [name, open] of Object.entries({ ...hosts, ...appHosts })) {
  describe(`the routes on ${name}`, () => {
    let service: FakeService;
    let host: Host;
    let folder: string;

    beforeEach(async () => {
      service = createFakeService();
      folder = mkdtempSync(join(tmpdir(), 'velist-page-'));
      host = await open({
        service,
        page: pageAssets(folder),
        pingMs: 30,
        onError: () => {},
      });
    });
    afterEach(async () => {
      await host.close();
      rmSync(folder, { recursive: true });
    });

    async function ask<Schema extends z.ZodType>(
      path: string,
      schema: Schema,
      init?: RequestInit,
      status = 200,
    ): Promise<z.output<Schema>> {
      const response = await host.fetch(path, init);
      const body: unknown = await response.json();
      expect({ status: response.status, body }).toMatchObject({ status });
      expect(response.headers.get('content-type')).toStartWith('application/json');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      return schema.parse(body);
    }
    const post = (body?: unknown): RequestInit => ({
      method: 'POST',
      body: body === undefined ? undefined : JSON.stringify(body),
    });

    test('what is asked is answered in the form of the contract', async () => {
      await host.fetch('/backup/now', post());
      await ask('/backup/api/status', contract.status);
      const { backups } = await ask('/backup/api/backups', contract.backupsAnswer);
      expect(backups.map((backup) => backup.filename)).toContain(firstBackup);
      await ask(`/backup/api/backups/${firstBackup}`, contract.backup);
      const { runs } = await ask('/backup/api/runs?limit=1', contract.runsAnswer);
      expect(runs).toHaveLength(1);
      await ask('/backup/api/config', contract.config);
      await ask(`/backup/api/backups/${firstBackup}/restore`, contract.restorePlan);
      expect((await ask('/backup/api/prune', contract.prunePlan)).dryRun).toBe(true);
    });

    test('the activity of a range is told, without the folders of the server', async () => {
      const { range, bars } = await ask('/backup/api/activity', contract.activity);
      expect([range, bars[0]?.reason]).toEqual(['24h', 'There is no file at dev.sqlite.']);
      expect((await ask('/backup/api/activity?range=30d', contract.activity)).range).toBe('30d');
      expect(service.calls).toEqual(['getActivity 24h', 'getActivity 30d']);
      const refused = await ask('/backup/api/activity?range=1y', contract.errorAnswer, {}, 422);
      expect(Object.keys(refused.error.fields ?? {})).toEqual(['range']);
    });

    test('the retention plan is told for the folder or for S3', async () => {
      expect((await ask('/backup/api/prune', contract.prunePlan)).target).toBe('local');
      expect((await ask('/backup/api/prune?target=s3', contract.prunePlan)).target).toBe('s3');
      expect(service.calls).toEqual(['prune local', 'prune s3']);
      await ask('/backup/api/prune?target=gcs', contract.errorAnswer, {}, 422);
    });

    test('a target is tested, a failed test is an answer, an unknown target is refused', async () => {
      const path = '/backup/api/targets/s3/test';
      const init = { method: 'POST' };
      expect(await ask(path, contract.targetReport, init)).toMatchObject({ ok: true, target: 's3' });
      service.behaviour.targetFails = true;
      const failed = await ask(path, contract.targetReport, init);
      expect(failed.ok).toBe(false);
      expect(failed.policy?.Statement[0]?.Resource).toBe('arn:aws:s3:::my-backups/backups/database/*');
      await ask('/backup/api/targets/gcs/test', contract.errorAnswer, init, 422);
      expect((await host.fetch(path)).status).toBe(405);
    });

    test('runs are told of one kind and with one result, if asked so', async () => {
      await ask('/backup/now', contract.backupResult, { method: 'POST' });
      const kinds = async (query: string) =>
        (await ask(`/backup/api/runs?${query}`, contract.runsAnswer)).runs.map(
          ({ kind, result }) => `${kind} ${result}`,
        );
      expect(await kinds('kind=backup')).toEqual(['backup success']);
      expect(await kinds('kind=drill')).toEqual([]);
      expect(await kinds('kind=backup&result=failed')).toEqual([]);
      await ask('/backup/api/runs?kind=sideways', contract.errorAnswer, undefined, 422);
    });

    test('a drill is made at each place or at one, and one that fails is an answer', async () => {
      const drill = (body?: string) => ask('/backup/api/drill', contract.drillReport, { method: 'POST', body });
      expect(await drill()).toMatchObject({ ok: true, drills: [{ result: 'proven', ms: 3_200 }] });
      await drill('{ "target": "s3" }');
      await drill('{ "target": "s3", "without": ["backup-1"] }');
      expect(service.calls).toEqual(['drill each', 'drill s3', 'drill s3 without backup-1']);
      const hint = 'Look.';
      service.behaviour.runError = { code: 'DRILL_FAILED', message: 'no file /srv/app/db/dev.sqlite', hint };
      expect((await drill()).drills[0]?.error?.message).toBe('no file dev.sqlite');
      const body = '{ "identity": "AGE-SECRET-KEY-1" }';
      await ask('/backup/api/drill', contract.errorAnswer, { method: 'POST', body }, 422);
    });

    test('the doctor tells what it finds, without the folders of the server and without asking the bucket', async () => {
      service.behaviour.damaged = true;
      const { ok, findings } = await ask('/backup/api/doctor', contract.doctorReport);
      expect([ok, findings[0]?.what, service.calls]).toEqual([false, 'all of db is on one disk', ['diagnose']]);
      // Without its folder it would be a command for another one.
      expect(findings[0]?.fix).toBe('chmod 700 on what is named above');
    });

    test('POST /now makes a backup without a body, as curl sends it', async () => {
      const result = await ask('/backup/now', contract.backupResult, {
        method: 'POST',
      });
      expect(result).toMatchObject({ success: true, size: 1_000 });
    });

    test('POST /now?wait=false answers 202 and the id of the run', async () => {
      expect(await ask('/backup/now?wait=false', contract.runAccepted, { method: 'POST' }, 202)).toEqual({
        runId: 'run-1',
      });
      await ask('/backup/now?wait=maybe', contract.errorAnswer, { method: 'POST' }, 422);
    });

    test('a slow POST /now sends white space until the result comes', async () => {
      let finish: () => void = () => {};
      service.behaviour.until = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const response = await host.fetch('/backup/now', { method: 'POST' });
      expect(response.status).toBe(200);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let text = '';
      for (let pings = 0; pings < 3; pings++) text += new TextDecoder().decode((await reader.read()).value);
      expect(text.trim()).toBe('');
      finish();
      for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
        text += new TextDecoder().decode(chunk.value);
      expect(contract.backupResult.parse(JSON.parse(text)).success).toBe(true);
    });

    test('a failed backup has the status of its error and keeps its report', async () => {
      service.behaviour.runError = {
        code: 'DISK_FULL',
        message: 'no space in /srv/app/storage/backups for it',
        hint: 'Free space.',
      };
      const result = await ask('/backup/now', contract.backupResult, { method: 'POST' }, 507);
      expect(result.success).toBe(false);
      expect(JSON.stringify(result)).not.toContain('/srv/app');
      expect(result.error?.message).toBe('no space in backups for it');
    });

    test('POST /config changes settings and answers 422 with a message for each wrong field', async () => {
      expect(await ask('/backup/config', contract.config, post({ intervalMinutes: 5 }))).toMatchObject({
        intervalMinutes: 5,
        changed: { intervalMinutes: 10 },
      });
      expect(await ask('/backup/config', contract.config, post({ revert: ['intervalMinutes'] }))).toMatchObject({
        intervalMinutes: 10,
      });
      const wrong = await ask(
        '/backup/config',
        contract.errorAnswer,
        post({ intervalMinutes: 0, s3Enabled: 'yes', localPath: '/' }),
        422,
      );
      expect(wrong.error.code).toBe('BAD_CONFIG');
      expect(Object.keys(wrong.error.fields ?? {}).sort()).toEqual(['intervalMinutes', 'localPath', 's3Enabled']);
      await ask('/backup/config', contract.errorAnswer, { method: 'POST', body: '{' }, 422);
      await ask('/backup/config', contract.errorAnswer, { method: 'POST' }, 422);
      await ask('/backup/config', contract.errorAnswer, post({ s3Path: 'x'.repeat(100_000) }), 422);
    });

    test('DELETE removes a backup once, everywhere or at one target', async () => {
      expect(
        await ask(`/backup/${firstBackup}`, contract.deleteAnswer, {
          method: 'DELETE',
        }),
      ).toEqual({ deleted: firstBackup });
      const gone = await ask(`/backup/${firstBackup}`, contract.errorAnswer, { method: 'DELETE' }, 404);
      expect(gone.error.code).toBe('GONE');
      await ask(`/backup/${secondBackup}?target=s3`, contract.deleteAnswer, {
        method: 'DELETE',
      });
      await ask(`/backup/${secondBackup}?target=moon`, contract.errorAnswer, { method: 'DELETE' }, 422);
      expect(service.calls).toEqual(['deleteBackup all', 'deleteBackup all', 'deleteBackup s3']);
    });

    test('PATCH pins and notes', async () => {
      const init = (body: unknown): RequestInit => ({
        method: 'PATCH',
        body: JSON.stringify(body),
      });
      expect(
        await ask(`/backup/api/backups/${firstBackup}`, contract.backup, init({ pinned: true, note: 'before 2.0' })),
      ).toMatchObject({
        pinned: true,
        note: 'before 2.0',
      });
      await ask(`/backup/api/backups/${firstBackup}`, contract.errorAnswer, init({ size: 1 }), 422);
      await ask(`/backup/api/backups/${missingBackup}`, contract.errorAnswer, init({ pinned: true }), 404);
    });

    test('verify and adopt answer the backup as it now is', async () => {
      const path = `/backup/api/backups/${firstBackup}`;
      await ask(`${path}/verify`, contract.backup, post());
      const full = await ask(`${path}/verify`, contract.backup, post({ full: true }));
      expect(full.verification).toMatchObject({
        state: 'verified',
        method: 'full',
      });
      await ask(`${path}/verify`, contract.backup, post({ from: 's3' }));
      await ask(`${path}/adopt`, contract.backup, post());
      expect(service.calls).toEqual([
        ...['verifyBackup quick', 'verifyBackup full', 'verifyBackup quick from s3', 'adoptBackup'],
      ]);
    });

    test('a plan is made for the mode that is asked for', async () => {
      const path = `/backup/api/backups/${firstBackup}/restore`;
      expect((await ask(path, contract.restorePlan)).mode).toBe('online');
      expect((await ask(`${path}?mode=offline`, contract.restorePlan)).mode).toBe('offline');
      await ask(`${path}?mode=sideways`, contract.errorAnswer, undefined, 422);
    });

    test('a restore asks for the name of the database', async () => {
      const path = `/backup/api/backups/${firstBackup}/restore`;
      for (const confirm of ['', 'DEV.SQLITE', firstBackup]) {
        const wrong = await ask(path, contract.errorAnswer, post({ confirm }), 409);
        expect(wrong.error.code).toBe('CONFIRM_MISMATCH');
      }
      await ask(path, contract.errorAnswer, post(), 422);
      await ask(path, contract.errorAnswer, post({ mode: 'offline' }), 422);
      await ask(path, contract.errorAnswer, post({ confirm: 'dev.sqlite', mode: 'file' }), 422);
      await ask('/backup/api/restore/undo', contract.errorAnswer, post({ confirm: 'x' }), 409);
      expect(service.calls).toEqual([]);
      const done = await ask(
        path,
        contract.restoreResult,
        post({ confirm: 'dev.sqlite', mode: 'offline', expected: 'stamp-1' }),
      );
      expect(done).toMatchObject({
        success: true,
        mode: 'offline',
        safetyBackup: firstBackup,
      });
      const undo = (body: object) => ask('/backup/api/restore/undo', contract.restoreResult, post(body));
      await undo({ confirm: 'dev.sqlite' });
      await undo({ confirm: 'dev.sqlite', mode: 'offline' });
      expect(service.calls).toEqual(['restore offline', 'undoRestore', 'undoRestore offline']);
    });

    test('the latest backup, and that of a moment, are planned and restored without their names', async () => {
      const plan = async (query: string) => await ask(`/backup/api/restore?${query}`, contract.restorePlan);
      expect(await plan('latest=true')).toMatchObject({ backup: secondBackup });
      expect(await plan(`backup=${firstBackup}&mode=offline`)).toMatchObject({ backup: firstBackup, mode: 'offline' });
      const at = '2024-01-15T11:00:00Z';
      const moment = { at: '2024-01-15T11:00:00.000Z', said: sayMoment(new Date(at)) };
      expect(await plan(`at=${at}`)).toMatchObject({ backup: firstBackup, moment });
      service.calls.length = 0;
      const path = '/backup/api/restore';
      const confirm = 'dev.sqlite';
      const restore = async (body: object) => await ask(path, contract.restoreResult, post({ confirm, ...body }));
      expect(await restore({ latest: true })).toMatchObject({ backup: secondBackup });
      expect(await restore({ at, mode: 'offline' })).toMatchObject({ backup: firstBackup, moment });
      expect(await restore({ backup: firstBackup })).toMatchObject({ backup: firstBackup });
      const missing = await ask(path, contract.restoreResult, post({ latest: true, mode: 'missing' }));
      expect(missing).toMatchObject({ backup: secondBackup, safetyBackup: null });
      expect(service.calls).toEqual(['restore online', 'restore offline', 'restore online', 'restore missing']);
    });

    test('a restore point that says nothing, two things or no moment restores nothing', async () => {
      const path = '/backup/api/restore';
      const confirm = 'dev.sqlite';
      for (const point of [{}, { latest: false }, { latest: true, at: '10:30' }, { backup: firstBackup, latest: true }])
        await ask(path, contract.errorAnswer, post({ confirm, ...point }), 422);
      for (const query of ['', 'latest=yes', 'latest=true&at=10:30', 'point=latest'])
        await ask(`${path}?${query}`, contract.errorAnswer, undefined, 422);
      const wrong = await ask(path, contract.errorAnswer, post({ latest: true, confirm: 'x' }), 409);
      expect([wrong.error.code, service.calls]).toEqual(['CONFIRM_MISMATCH', []]);
      for (const { error } of [
        await ask(path, contract.errorAnswer, post({ confirm, at: 'teatime' }), 422),
        await ask(`${path}?at=teatime`, contract.errorAnswer, undefined, 422),
      ])
        expect([error.code, error.hint]).toEqual(['BAD_REQUEST', expect.stringContaining('yesterday 18:00')]);
      await ask(path, contract.errorAnswer, post({ confirm, backup: '../../etc/passwd' }), 400);
      await ask(path, contract.errorAnswer, post({ confirm, at: '2001-01-01' }), 404);
    });

    test('to bring a missing database back nothing is confirmed, because nothing is replaced', async () => {
      const path = `/backup/api/backups/${firstBackup}/restore`;
      const done = await ask(path, contract.restoreResult, post({ mode: 'missing' }));
      expect(done).toMatchObject({ success: true, mode: 'missing', safetyBackup: null });
      expect(service.calls).toEqual(['restore missing']);
    });

    test('a restore that fails after the first ping says so in the body', async () => {
      let fail: (error: unknown) => void = () => {};
      service.behaviour.until = new Promise((_, reject) => {
        fail = reject;
      });
      const response = await host.fetch(`/backup/api/backups/${firstBackup}/restore`, post({ confirm: 'dev.sqlite' }));
      fail(
        new BackupError('DB_CHANGED', 'the database changed', {
          hint: 'Look at the plan again.',
        }),
      );
      expect(contract.errorAnswer.parse(await response.json()).error.code).toBe('DB_CHANGED');
    });

    test('a loss is accepted for once or for good, and that can be taken back', async () => {
      const body = { filename: firstBackup };
      const accepted = await ask('/backup/api/loss/accept', contract.backup, post(body));
      expect(accepted.loss?.accepted).not.toBeNull();
      await ask('/backup/api/loss/accept', contract.backup, post({ ...body, ignore: true }));
      expect((await ask('/backup/api/loss/reopen', contract.backup, post(body))).loss?.accepted).toBeNull();
      expect(service.calls).toEqual(['acceptLoss false', 'acceptLoss true', 'reopenLoss']);
      for (const wrong of [{}, { filename: '../x' }, { ...body, more: 1 }])
        expect((await host.fetch('/backup/api/loss/accept', post(wrong))).status).toBe(422);
    });

    test('two backups are compared, by their names or the latest', async () => {
      const diff = await ask(`/backup/api/diff?a=${firstBackup}&b=latest`, contract.backupDiff);
      expect(diff).toMatchObject({ a: firstBackup, tables: [{ name: 'orders', change: 'rows' }] });
      for (const query of ['', '?a=latest', '?a=latest&b=../../etc', '?a=latest&b=latest&c=1'])
        expect([query, (await host.fetch(`/backup/api/diff${query}`)).status]).toEqual([query, 422]);
      expect(service.calls).toEqual(['diff']);
    });

    test('the verdict of a restore is put away', async () => {
      const init = { method: 'POST' };
      expect(await ask('/backup/api/restore/dismiss', contract.dismissAnswer, init)).toEqual({ dismissed: true });
      expect(service.calls).toEqual(['dismissRestore']);
      expect((await host.fetch('/backup/api/restore/dismiss')).status).toBe(405);
    });

    test('a run can be stopped', async () => {
      service.behaviour.until = new Promise(() => {});
      const running = host.fetch('/backup/now', { method: 'POST' });
      while (!service.calls.includes('performBackup')) await Bun.sleep(1);
      expect(await ask('/backup/api/runs/stop', contract.stopAnswer, post())).toEqual({ stopped: true });
      expect(await (await running).json()).toMatchObject({
        success: false,
        error: { code: 'ABORTED' },
      });
      expect(await ask('/backup/api/runs/stop', contract.stopAnswer, post())).toEqual({ stopped: false });
    });

    test('health is 503 when nothing good and young is there', async () => {
      expect(await ask('/backup/health', contract.health)).toMatchObject({
        status: 'ok',
        state: 'protected',
        verdict: 'protected',
      });
      for (const verdict of ['too-old', 'damaged', 'none'] as const) {
        service.behaviour.verdict = verdict;
        expect(await ask('/backup/health', contract.health, {}, 503)).toMatchObject({ status: 'failing', verdict });
      }
    });

    test('a wrong method is 405 with Allow, an unknown address a JSON 404', async () => {
      for (const [method, path, allow] of [
        ['GET', '/backup/now', 'POST'],
        ['PUT', '/backup/config', 'POST'],
        ['POST', '/backup/', 'GET, HEAD'],
        ['POST', '/backup/api/status', 'GET, HEAD'],
        ['POST', `/backup/${firstBackup}`, 'DELETE'],
        ['GET', `/backup/${firstBackup}`, 'DELETE'],
        ['DELETE', `/backup/api/backups/${firstBackup}`, 'GET, HEAD, PATCH'],
        ['PUT', `/backup/api/backups/${firstBackup}/restore`, 'GET, HEAD, POST'],
      ] as const) {
        const response = await host.fetch(path, { method });
        expect([path, response.status, response.headers.get('allow')]).toEqual([path, 405, allow]);
        contract.errorAnswer.parse(await response.json());
      }
      expect((await host.fetch('/backup/now', { method: 'OPTIONS' })).status).toBe(204);
      for (const path of ['/backup/nothing', '/backup/api', '/backup/api/backups/x/y/z', '/backup/assets/none.js']) {
        await ask(path, contract.errorAnswer, {}, 404);
        await ask(path, contract.errorAnswer, { method: 'GET', headers: { accept: 'text/html' } }, 404);
      }
      expect(service.calls).toEqual([]);
    });

    test('an unforeseen fault tells nothing of itself', async () => {
      service.behaviour.throws = new Error('secret at /srv/app/db/dev.sqlite');
      for (const [method, path] of [
        ['GET', '/backup/api/status'],
        ['GET', '/backup/api/runs'],
        ['POST', '/backup/now'],
        ['DELETE', `/backup/${firstBackup}`],
        ['GET', '/backup/health'],
      ] as const) {
        const answer = await ask(path, contract.errorAnswer, { method }, 500);
        expect(answer.error.code).toBe('INTERNAL');
        expect(JSON.stringify(answer)).not.toMatch(/secret|srv|sqlite/);
      }
    });

    test('a download is whole, with its length, its tag and its name', async () => {
      const response = await host.fetch(`/backup/api/backups/${firstBackup}/download`);
      const bytes = await response.bytes();
      expect(response.status).toBe(200);
      expect(bytes.byteLength).toBe(1_000);
      if (host.sendsLength) expect(response.headers.get('content-length')).toBe('1000');
      expect(response.headers.get('content-type')).toBe('application/vnd.sqlite3');
      expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${firstBackup}"`);
      expect(response.headers.get('etag')).toMatch(/^"[0-9a-f]{64}"$/);
      expect(response.headers.get('accept-ranges')).toBe('bytes');
    });

    test('a download takes ranges and conditions', async () => {
      const path = `/backup/api/backups/${firstBackup}/download`;
      const whole = await (await host.fetch(path)).bytes();
      const etag = (await host.fetch(path, { method: 'HEAD' })).headers.get('etag') ?? '';
      for (const [range, status, from, to] of [
        ['bytes=0-9', 206, 0, 9],
        ['bytes=990-', 206, 990, 999],
        ['bytes=990-5000', 206, 990, 999],
        ['bytes=-7', 206, 993, 999],
        ['bytes=-5000', 206, 0, 999],
        ['bytes=0-1,4-5', 200, 0, 999],
        ['bytes=9-3', 200, 0, 999],
        ['lines=1-2', 200, 0, 999],
      ] as const) {
        const response = await host.fetch(path, { headers: { range } });
        expect([range, response.status]).toEqual([range, status]);
        if (host.sendsLength) expect(response.headers.get('content-length')).toBe(String(to - from + 1));
        if (status === 206) expect(response.headers.get('content-range')).toBe(`bytes ${from}-${to}/1000`);
        expect(await response.bytes()).toEqual(whole.slice(from, to + 1));
      }
      for (const range of ['bytes=1000-', 'bytes=-0', 'bytes=5000-6000']) {
        const response = await host.fetch(path, { headers: { range } });
        expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */1000']);
      }
      const conditional = async (headers: Record<string, string>) => (await host.fetch(path, { headers })).status;
      expect(await conditional({ 'if-none-match': etag })).toBe(304);
      expect(await conditional({ 'if-none-match': `"other", W/${etag}` })).toBe(304);
      expect(await conditional({ 'if-none-match': '"other"' })).toBe(200);
      expect(await conditional({ range: 'bytes=0-9', 'if-range': etag })).toBe(206);
      expect(await conditional({ range: 'bytes=0-9', 'if-range': '"other"' })).toBe(200);
      expect(
        await conditional({
          range: 'bytes=0-9',
          'if-range': new Date('2024-01-15T10:30:00Z').toUTCString(),
        }),
      ).toBe(206);
      expect((await host.fetch(`/backup/api/backups/${missingBackup}/download`)).status).toBe(404);
    });

    test('what a download opens is closed, whether it is read, refused, or left by its client', async () => {
      const path = `/backup/api/backups/${firstBackup}/download`;
      const closed = async () => {
        while (service.openFiles > 0) await Bun.sleep(1);
      };
      const etag = (await host.fetch(path, { method: 'HEAD' })).headers.get('etag') ?? '';
      for (const headers of [{}, { range: 'bytes=0-9' }, { range: 'bytes=1000-' }, { 'if-none-match': etag }]) {
        await (await host.fetch(path, { headers: headers as Record<string, string> })).bytes();
        await closed();
      }
      const left = await host.fetch(path);
      await left.body?.cancel();
      await closed();
      const abort = new AbortController();
      await host.fetch(path, { signal: abort.signal });
      abort.abort();
      await closed();
      expect(service.calls.filter((call) => call === 'openBackup').length).toBe(7);
    });

    test('HEAD has the headers of GET and no body', async () => {
      for (const path of [`/backup/api/backups/${firstBackup}/download`, '/backup/api/status', '/backup/api/events']) {
        const response = await host.fetch(path, { method: 'HEAD' });
        expect([path, response.status, (await response.bytes()).byteLength]).toEqual([path, 200, 0]);
      }
      const download = await host.fetch(`/backup/api/backups/${firstBackup}/download`, { method: 'HEAD' });
      expect(download.headers.get('content-length')).toBe('1000');
      while (service.listeners > 0) await Bun.sleep(1);
    });

    test('events begin with the status, tell what happens, and end when the client goes', async () => {
      const gone = new AbortController();
      const response = await host.fetch('/backup/api/events', {
        signal: gone.signal,
      });
      expect(response.headers.get('content-type')).toStartWith('text/event-stream');
      const next = eventsOf(response);
      expect(contract.status.parse((await next('status')).data).verdict.code).toBe('protected');
      expect(service.listeners).toBe(1);
      await host.fetch('/backup/now', { method: 'POST' });
      contract.runProgress.parse((await next('progress')).data);
      contract.run.parse((await next('run')).data);
      expect((await next('backups')).data).toEqual({});
      await next('status');
      await host.fetch(`/backup/${firstBackup}`, { method: 'DELETE' });
      await next('backups');
      await next('ping');
      gone.abort();
      if (name === 'bare fetch') await response.body?.cancel().catch(() => {});
      while (service.listeners > 0) await Bun.sleep(1);
    });

    test('the page says how to build it while it is not built', async () => {
      const response = await host.fetch('/backup/');
      expect(response.status).toBe(503);
      expect(await response.text()).toContain('npm run build');
    });

    test('the page is served under a strict policy, its hashed files for ever', async () => {
      mkdirSync(join(folder, 'assets'));
      writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Database Backup</title>');
      writeFileSync(join(folder, 'theme.js'), '// theme');
      writeFileSync(join(folder, 'assets', 'app-abc123.js'), '// app');
      const redirect = await host.fetch('/backup?tab=runs');
      expect([redirect.status, redirect.headers.get('location')]).toEqual([308, './backup/?tab=runs']);
      const page = await host.fetch('/backup/');
      expect(page.headers.get('content-type')).toStartWith('text/html');
      expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
      expect(page.headers.get('x-frame-options')).toBe('DENY');
      expect(page.headers.get('referrer-policy')).toBe('no-referrer');
      expect(page.headers.get('cache-control')).toBe('no-cache');
      const again = await host.fetch('/backup/', {
        headers: { 'if-none-match': page.headers.get('etag') ?? '' },
      });
      expect([again.status, await again.text()]).toEqual([304, '']);
      const asset = await host.fetch('/backup/assets/app-abc123.js');
      expect([asset.headers.get('cache-control'), asset.headers.get('content-type'), await asset.text()]).toEqual([
        'public, max-age=31536000, immutable',
        'text/javascript; charset=utf-8',
        '// app',
      ]);
      expect((await host.fetch('/backup/theme.js')).status).toBe(200);
      expect((await host.fetch('/backup/assets/..%2F..%2Fpackage.json')).status).toBe(404);
    });
  });
}

function eventsOf(response: Response): (event: string) => Promise<{ event: string; data: unknown }> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = '';
  return async (wanted) => {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end < 0) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream ended before ${wanted}`);
        text += decoder.decode(value, { stream: true });
        continue;
      }
      const [, event = '', data = ''] = /event: (.*)\ndata: (.*)/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (event === wanted) return { event, data: JSON.parse(data) };
    }
  };
}

test('a download that is fetched from S3 first is not cut by the host while it waits', async () => {
  const service = createFakeService();
  const { openBackup } = service;
  service.openBackup = async (filename) => {
    await Bun.sleep(6_000);
    return await openBackup(filename);
  };
  const app = new Elysia().use(backupRoutes(service, { thisMachineOnly: true }));
  app.listen({ port: 0, hostname: '127.0.0.1', idleTimeout: 1 });
  const response = await fetch(`http://localhost:${app.server?.port}/backup/api/backups/${firstBackup}/download`);
  expect(response.status).toBe(200);
  expect((await response.bytes()).length).toBe(1_000);
  await app.stop(true);
});

test('a download of which a host reads nothing more is closed when its client leaves', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'velist-left-'));
  writeFileSync(join(folder, 'backup'), Buffer.alloc(5_000_000));
  for (const isEarly of [false, true]) {
    const file = await openFile(join(folder, 'backup'));
    const abort = new AbortController();
    const request = new Request('http://localhost/', { signal: abort.signal });
    if (isEarly) abort.abort();
    const opened = await openBackup({ file, sha256: null, isTimeOfBytes: true });
    const response = await sendBackup(request, firstBackup, opened);
    expect(file.fd === -1).toBe(isEarly);
    abort.abort();
    while (file.fd !== -1) await Bun.sleep(1);
    expect([isEarly, response.body === null]).toEqual([isEarly, isEarly]);
  }
  rmSync(folder, { recursive: true });
});
