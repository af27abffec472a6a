/** The databases of this server, as of the last look; one of many is picked on the command line by its name. */
import type { DatabasesAnswer } from '../../http/contract.ts';
import { api } from '../api.ts';

let list = $state.raw<DatabasesAnswer>();

export const databases = {
  /** Undefined where there is one that nobody calls by a name. */
  get list() {
    return list?.databases[0]?.page ? list : undefined;
  },
  get pick(): string {
    return databases.list ? ` --database ${databases.list.current}` : '';
  },
  async look(): Promise<void> {
    // What the page itself asks for says when there is no contact.
    list = await api.databases().catch(() => list);
  },
};
