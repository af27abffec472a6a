/** The dashboard: its page, its files, and above several databases the overview of all. */
import type { Action } from '../access/authorize.ts';
import { methodNotAllowed, notFound } from '../answers.ts';
import { backupName } from '../contract.ts';
import { describeDatabases } from '../describe-databases.ts';
import { atDoor } from '../door.ts';
import { overviewPage } from '../overview-page.ts';
import { pageNotBuilt, sendAsset } from '../page-assets.ts';
import { type Asked, route } from '../route.ts';

/** The page's files hold no data, and the sign-in page needs some of them. */
const file = { method: 'GET', right: 'page', leadsToSignIn: true, fallback: true, answers: {} } as const;

function rest({ request, params, site }: Asked<'/*'>): Response {
  const asset = site.page.find(params['*']);
  return asset ? sendAsset(request, asset) : notFound();
}

export const pageRoutes = [
  route({
    method: 'GET',
    path: '/',
    summary: 'The dashboard',
    // The overview names databases.
    right: { alone: 'page', top: 'read', below: 'page' } satisfies Record<string, Action>,
    leadsToSignIn: true,
    answers: { 200: 'text/html' },
    async handle(context) {
      const { request, site, isBelow } = context;
      const aside = await atDoor(context, isBelow);
      if (aside) return aside;
      const index = site.page.find('index.html');
      return index ? sendAsset(request, index) : pageNotBuilt();
    },
    async ofAll(context) {
      const { databases, site } = context;
      const list = async () => await describeDatabases(databases, { isMany: true, current: null });
      return (await atDoor(context, false)) ?? overviewPage(await list(), site.page);
    },
  }),
  route({ ...file, path: '/*', summary: 'A file of the dashboard', handle: rest, ofAll: rest }),
  route({
    // What lies beside index.html shares its depth with the names of backups.
    ...file,
    path: '/:filename',
    summary: 'A file of the dashboard, beside its page',
    handle({ request, params: { filename }, site }) {
      const asset = site.page.find(filename);
      if (asset) return sendAsset(request, asset);
      return backupName.test(filename) ? methodNotAllowed(request.method, ['DELETE']) : notFound();
    },
  }),
];
