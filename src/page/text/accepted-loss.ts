/** What the dialog says that ends an alarm. */
import type { Config } from '../../http/contract.ts';
import type { Loss } from './loss.ts';

/** How far a loss went, said of its tables: "emptied", "dropped", "cut down". */
export function lossVerb(tables: Loss['tables']): string {
  if (tables.every(({ after }) => after === null)) return 'dropped';
  return tables.every(({ after }) => after === 0) ? 'emptied' : 'cut down';
}

/** Tables that raise no alarm; none if the server does not look for losses. */
export function ignoredTables(config: Config & { readonly lossIgnore?: readonly string[] }): readonly string[] {
  return config.lossIgnore ?? [];
}
