/** Continuous backup: what it can restore, names for moments, and letting the database go for a while. */
import { readRestorePoint } from '../../words/restore-point.ts';
import { mark, markBody, moments, momentsQuery, pauseAnswer, resumeAnswer } from '../contract.ts';
import { always, route } from '../route.ts';

export const momentRoutes = [
  route({
    method: 'GET',
    path: '/api/moments',
    summary: 'The captured moments that can be restored: ranges, gaps and marks',
    right: 'read',
    costs: 'plan',
    isLong: always,
    query: momentsQuery,
    answers: { 200: moments },
    handle: ({ service, query: { from, to, target } }) =>
      service.moments({ from: timeOf(from), to: timeOf(to), target }),
  }),
  route({
    method: 'POST',
    path: '/api/marks',
    summary: 'Name all that is committed now, as a moment to restore',
    right: 'backup',
    costs: 'backup',
    isLong: always,
    body: markBody,
    answers: { 200: mark },
    handle: ({ service, body: { name } }) => service.mark(name),
  }),
  route({
    method: 'POST',
    path: '/api/continuous/pause',
    summary: 'Let the database go: nothing is captured until it is resumed',
    right: 'configure',
    answers: { 200: pauseAnswer },
    handle({ service, user }) {
      service.pauseContinuous({ user });
      return { paused: true as const };
    },
  }),
  route({
    method: 'POST',
    path: '/api/continuous/resume',
    summary: 'Capture the database again',
    right: 'configure',
    answers: { 200: resumeAnswer },
    handle: ({ service }) => ({ paused: false as const, wasPaused: service.resumeContinuous() }),
  }),
];

function timeOf(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const point = readRestorePoint({ at: text }, new Date());
  return 'at' in point ? point.at : undefined;
}
