/** The list of the databases that are guarded, one if no list is configured; and what is asked of many at once. */
import { basename, extname } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import type { ErrandAct } from '../../fleet/errands.ts';
import type { FleetDatabase } from '../../fleet/fleet-port.ts';
import type { BackupServicePort } from '../../service/service-port.ts';
import { json } from '../answers.ts';
import {
  databasesAnswer,
  errandAccepted,
  errandBody,
  type ErrandAccepted,
  stripsAnswer,
  stripsQuery,
} from '../contract.ts';
import { describeDatabases, stripOf } from '../describe-databases.ts';
import { type OfAll, route } from '../route.ts';

export const databaseRoutes = [
  route({
    method: 'GET',
    path: '/api/databases',
    summary: 'All databases and how each stands',
    right: 'read',
    answers: { 200: databasesAnswer },
    async handle({ service, database, allowed, site: { errands } }) {
      if (database.name !== null)
        return await describeDatabases(await allowed('read'), { isMany: true, current: database.name, errands });
      const name = nameOf(service);
      return await describeDatabases([{ name, service }], { isMany: false, current: name, errands });
    },
    ofAll: ({ databases, site: { errands } }) => describeDatabases(databases, { isMany: true, current: null, errands }),
  }),
  route({
    method: 'GET',
    path: '/api/databases/activity',
    summary: 'The last 24 hours of some of them, in brief',
    right: 'read',
    query: stripsQuery,
    answers: { 200: stripsAnswer },
    async ofAll({ databases, query: { names } }) {
      const strips: Record<string, string> = {};
      const asked = new Set(names);
      // One after the other, so that other requests get their turn. What can't be read has none.
      for (const { name, service } of databases.filter((one) => asked.has(one.name)))
        strips[name] = await service.getActivity('24h').then(stripOf, () => '');
      return { strips };
    },
  }),
  route({
    method: 'POST',
    path: '/api/databases/backup',
    summary: 'Back up several of them, a few at a time',
    right: 'backup',
    costs: 'backup',
    body: errandBody,
    answers: { 202: errandAccepted },
    ofAll: (context) => beginErrand('backup', context),
  }),
  route({
    method: 'POST',
    path: '/api/databases/verify',
    summary: 'Check the newest backup of several of them, a few at a time',
    right: 'verify',
    costs: 'verify',
    body: errandBody,
    answers: { 202: errandAccepted },
    ofAll: (context) => beginErrand('verify', context),
  }),
];

/** The name of the one database that nobody gave a name. */
function nameOf(service: BackupServicePort): string {
  const file = basename(service.getConfig().databasePath);
  return file.slice(0, file.length - extname(file).length);
}

interface Errand extends Pick<OfAll, 'databases' | 'user' | 'site'> {
  readonly body: { readonly names?: readonly string[] | undefined } | undefined;
}

function beginErrand(act: ErrandAct, { databases, body, user, site }: Errand): Response {
  const asked = body?.names ? named(body.names, databases) : databases;
  return json<ErrandAccepted>({ accepted: site.errands.ask(act, asked, user) }, 202);
}

/** All of them, or none: half a task is taken for a whole one. Whoever may not act on one does not learn that it is there. */
function named(names: readonly string[], databases: readonly FleetDatabase[]): readonly FleetDatabase[] {
  const byName = new Map(databases.map((database) => [database.name, database]));
  return [...new Set(names)].map((name) => {
    const database = byName.get(name);
    if (database) return database;
    throw new BackupError('GONE', `there is no database ${name} that you may use for this`, {
      hint: 'Nothing was begun. api/databases lists them.',
    });
  });
}
