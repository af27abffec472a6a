/** The dashboard: its page, its files, and above several databases the overview of all. */
import type { Action } from '../access/authorize.ts';
import { methodNotAllowed, notFound } from '../answers.ts';
import { backupName } from '../contract.ts';
import { atDoor } from '../door.ts';
import { pageNotBuilt, sendAsset } from '../page-assets.ts';
import { type Asked, route } from '../route.ts';

/** The page's files hold no data, and the sign-in page needs some of them. */
const file = { method: 'GET', right: 'page', leadsToSignIn: true, fallback: true, answers: {} } as const;

function rest({ request, params, site }: Asked<'/*'>): Response {
  const asset = site.page.find(params['*']);
  return asset ? sendAsset(request, asset) : notFound();
}

async function sendPage(context: Asked & { readonly isBelow?: boolean }, name: string): Promise<Response> {
  const { request, site, isBelow = false } = context;
  const aside = await atDoor(context, isBelow);
  if (aside) return aside;
  const page = site.page.find(name);
  return page ? sendAsset(request, page) : pageNotBuilt();
}

export const pageRoutes = [
  route({
    method: 'GET',
    path: '/',
    summary: 'The dashboard',
    // The overview is of no use to whoever may read none of them.
    right: { alone: 'page', top: 'read', below: 'page' } satisfies Record<string, Action>,
    leadsToSignIn: true,
    answers: { 200: 'text/html' },
    handle: (context) => sendPage(context, 'index.html'),
    ofAll: (context) => sendPage(context, 'overview.html'),
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
