/** The record of who did what. */
import { z } from 'zod';
import type { AuditFilter } from '../../service/model.ts';
import { auditAnswer } from '../contract.ts';
import { route } from '../route.ts';

const query = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  /** No record from before that moment. */
  since: z.iso.datetime({ offset: true, local: false }).optional(),
});

export const auditRoutes = [
  route({
    method: 'GET',
    path: '/api/audit',
    summary: 'Who did what',
    right: 'audit',
    query,
    answers: { 200: auditAnswer },
    handle: ({ service, query }) => ({ entries: service.getAudit(filterOf(query)) }),
    ofAll({ fleet, databases, isAllowedAll, query }) {
      const filter = filterOf(query);
      if (isAllowedAll) return { entries: fleet.getAudit(filter) };
      const entries = databases.flatMap(({ service }) => service.getAudit(filter));
      return { entries: entries.sort((a, b) => b.at.getTime() - a.at.getTime()).slice(0, filter.limit) };
    },
  }),
];

function filterOf({ limit, since }: z.output<typeof query>): AuditFilter {
  return { limit, ...(since !== undefined && { since: new Date(since) }) };
}
