/**
 * The parts of the page that are fetched when the first of them is wanted. A server that was replaced meanwhile has them
 * under another name, and browsers do not ask twice for what they did not get: then the page is loaded anew.
 */
import { dialogs } from './dialogs.svelte.ts';
import { passwordAgain } from './password.svelte.ts';
import { toasts } from './toasts.svelte.ts';

class Parts<Module> {
  /** Null until they are there. */
  loaded = $state.raw<Module | null>(null);
  readonly #fetch: () => Promise<Module>;
  #isAsked = false;
  #hasFailed = false;

  constructor(fetch: () => Promise<Module>) {
    this.#fetch = fetch;
  }

  /** @param options.isPressed somebody asked for one of them; what shows by itself is tried once. */
  want({ isPressed }: { readonly isPressed: boolean }): void {
    if (this.#isAsked || (this.#hasFailed && !isPressed)) return;
    this.#isAsked = true;
    void this.#fetch().then(
      (loaded) => {
        this.loaded = loaded;
      },
      () => this.#fail(),
    );
  }

  #fail(): void {
    this.#isAsked = false;
    this.#hasFailed = true;
    dialogs.close();
    if (passwordAgain.isAsked) passwordAgain.settle(false);
    dialogs.configuration = false;
    dialogs.setUp = null;
    dialogs.tab = 'history';
    toasts.show({
      tone: 'bad',
      title: 'This part of the page did not load',
      lines: ['The server is out of reach, or was replaced by another version. Reload the page once it is back.'],
      button: { label: 'Reload', press: () => location.reload() },
    });
  }
}

export const parts = new Parts(() => import('../on-demand.ts'));
/** What sets up a bucket, a folder, a webhook: apart, because it is wanted once. */
export const setUpParts = new Parts(() => import('../set-up-parts.ts'));
/** The upload of a file from elsewhere. */
export const arrivalParts = new Parts(() => import('../arrivals.ts'));
export const placeParts = new Parts(() => import('../places.ts'));
