/**
 * Where the rows of the table stand. For one database each is at its own address. For several there is an overview of all
 * above, and below `/db/:database` each one's own routes, which are those of a single database at a longer address.
 */
import type { Action } from './access/authorize.ts';
import type { Place, Route } from './route.ts';

export interface Entry {
  readonly route: Route;
  readonly place: Place;
  readonly path: string;
  readonly right: Action;
}

interface Laid {
  readonly isMany: boolean;
  /** One signs in on our own page. */
  readonly hasSignIn: boolean;
}

export function layOut(table: readonly Route[], { isMany, hasSignIn }: Laid): readonly Entry[] {
  const rows = table.filter(({ forSignIn }) => !forSignIn || hasSignIn);
  const entriesAt = (place: Place, routes: readonly Route[]): readonly Entry[] =>
    routes.map((route) => ({
      ...{ route, place },
      path: place === 'below' ? `/db/:database${route.path}` : route.path,
      right: route.leadsToSignIn && hasSignIn ? 'open' : rightAt(place, route),
    }));
  if (!isMany)
    return entriesAt(
      'alone',
      rows.filter(({ handle, atTop }) => handle ?? atTop),
    );
  const above = rows.filter(({ atTop, ofAll }) => atTop ?? ofAll);
  return [
    ...entriesAt('top', above),
    ...entriesAt(
      'below',
      rows.filter(({ handle }) => handle),
    ),
  ];
}

function rightAt(place: Place, { right }: Route): Action {
  return typeof right === 'string' ? right : right[place];
}
