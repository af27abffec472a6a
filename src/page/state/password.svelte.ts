/**
 * The password once more: the server asks for it before what can't be taken back, when somebody signed in more than an
 * hour ago. What was asked for waits until it is given, and is then sent again; whoever gives none gets the refusal.
 */
import { askPassword } from '../api.ts';

class PasswordAgain {
  isAsked = $state(false);
  #answer: Promise<boolean> | null = null;
  #settle: (isGiven: boolean) => void = () => {};

  constructor() {
    askPassword.ask = () => this.#ask();
  }

  settle(isGiven: boolean): void {
    this.isAsked = false;
    this.#answer = null;
    this.#settle(isGiven);
  }

  /** One dialog for all that wait. */
  #ask(): Promise<boolean> {
    if (this.#answer) return this.#answer;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#answer = promise;
    this.#settle = resolve;
    this.isAsked = true;
    return promise;
  }
}

export const passwordAgain = new PasswordAgain();
