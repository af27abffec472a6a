/** How it stands: for people, for programs that watch, and in one word for everybody. */
import { withoutFolders } from '../../words/errors.ts';
import { isFailing } from '../../service/protection/freshness.ts';
import type { DoctorReport as Diagnosis, Status } from '../../service/model.ts';
import { json } from '../answers.ts';
import { activity, activityRange, doctorReport, type Health, health, status } from '../contract.ts';
import { type Metrics, renderMetrics, renderMetricsOfAll } from '../metrics.ts';
import { inTurns } from '../in-turns.ts';
import { always, type OfAll, route } from '../route.ts';
import { serialize } from '../serialize.ts';
import { z } from 'zod';

export const statusRoutes = [
  route({
    method: 'GET',
    path: '/api/status',
    summary: 'How it stands',
    right: 'read',
    answers: { 200: status },
    handle: ({ service }) => service.getStatus(),
  }),
  route({
    method: 'GET',
    path: '/api/activity',
    summary: 'What became of each planned run',
    right: 'read',
    query: z.object({ range: activityRange.default('24h') }),
    answers: { 200: activity },
    handle: ({ service, query }) => service.getActivity(query.range),
  }),
  route({
    method: 'GET',
    path: '/health',
    summary: 'Whether the database is protected',
    // Open above alone: whoever may not read learns of no database whether it is there.
    right: { alone: 'open', top: 'open', below: 'read' },
    answers: { 200: health, 503: health },
    async handle({ service, database, may }) {
      if (!(await may('read'))) return healthAnswer(await database.isFailing());
      const { verdict, freshness, lastGood } = await service.getStatus();
      const more = { state: freshness.state, verdict: verdict.code, lastGood: serialize(lastGood) };
      return healthAnswer(isFailing(freshness), more);
    },
    ofAll: healthOfAll,
  }),
  route({
    method: 'GET',
    path: '/metrics',
    summary: 'Figures for Prometheus',
    right: 'metrics',
    answers: { 200: 'text/plain' },
    handle: async ({ service }) => figures(await renderMetrics(service)),
    ofAll: async ({ databases }) => figures(await renderMetricsOfAll(databases)),
  }),
  route({
    // The bucket is not asked: that writes to it, and is `/api/targets/s3/test`.
    method: 'GET',
    path: '/api/doctor',
    summary: 'What is wrong with the way all is set up',
    right: 'read',
    costs: 'doctor',
    isLong: always,
    answers: { 200: doctorReport },
    handle: async ({ service }) => shown(await service.diagnose()),
  }),
];

function healthAnswer(failing: boolean, more: Partial<Health> = {}): Response {
  return json<Health>({ status: failing ? 'failing' : 'ok', ...more }, failing ? 503 : 200);
}

/**
 * 503 as soon as one is not protected; so too if none is found, because somebody meant to protect one. Whoever may read
 * some of them hears of those alone; a stranger hears one word of all, which is as old as `heldFor` lets it be.
 */
async function healthOfAll({ fleet, site, allowed }: OfAll): Promise<Response> {
  const readable = await allowed('read').catch(() => []);
  if (readable.length === 0) return healthAnswer(await site.isAnyFailing());
  const described = await inTurns(readable, async ({ name, service }) => {
    const found = await service.getStatus().catch(() => null);
    return {
      name,
      status: isBad(found) ? ('failing' as const) : ('ok' as const),
      state: found?.freshness.state ?? ('unprotected' as const),
      verdict: found?.verdict.code ?? null,
      lastGoodAt: found?.lastGood?.holdsAt.toISOString() ?? null,
    };
  });
  const failing = fleet.databases.length === 0 || described.some((one) => one.status === 'failing');
  return healthAnswer(failing, { databases: described });
}

function isBad(found: Status | null): boolean {
  return found === null || isFailing(found.freshness);
}

function figures({ text, contentType }: Metrics): Response {
  return new Response(text, { headers: { 'content-type': contentType, 'cache-control': 'no-store' } });
}

function shown({ ok, findings }: Diagnosis): Diagnosis {
  const plain = (text: string | null) => text && withoutFolders(text);
  return {
    ok,
    findings: findings.map(({ what, why, fix, ...rest }) => ({
      ...rest,
      what: withoutFolders(what),
      why: plain(why),
      // Cut short it would be a command for another folder.
      fix: plain(fix?.replace(/^(chmod \d+) \/.*$/s, '$1 on what is named above') ?? null),
    })),
  };
}
