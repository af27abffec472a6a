/** The list of the databases that are guarded: one if no list is configured. */
import { basename, extname } from 'node:path';
import type { BackupServicePort } from '../../service/service-port.ts';
import { databasesAnswer } from '../contract.ts';
import { describeDatabases } from '../describe-databases.ts';
import { route } from '../route.ts';

export const databaseRoutes = [
  route({
    method: 'GET',
    path: '/api/databases',
    summary: 'All databases and how each stands',
    right: 'read',
    answers: { 200: databasesAnswer },
    async handle({ service, database, allowed }) {
      if (database.name !== null)
        return await describeDatabases(await allowed('read'), { isMany: true, current: database.name });
      const name = nameOf(service);
      return await describeDatabases([{ name, service }], { isMany: false, current: name });
    },
    ofAll: ({ databases }) => describeDatabases(databases, { isMany: true, current: null }),
  }),
];

/** The name of the one database that nobody gave a name. */
function nameOf(service: BackupServicePort): string {
  const file = basename(service.getConfig().databasePath);
  return file.slice(0, file.length - extname(file).length);
}
