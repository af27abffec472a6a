/** Short messages at the edge of the page. A failure stays until dismissed; the rest leave by themselves. */
import type { Outcome } from '../text/outcomes.ts';

interface Toast extends Outcome {
  readonly id: number;
  readonly button?: { readonly label: string; readonly press: () => void };
}

const restMs = 7000;
const limit = 4;

class Toasts {
  list = $state<readonly Toast[]>([]);
  #nextId = 1;

  /** Shows a message and returns the function that takes it away. `forMs` null: until dismissed. */
  show(toast: Omit<Toast, 'id'>, forMs: number | null = toast.tone === 'bad' ? null : restMs): () => void {
    const id = this.#nextId++;
    this.list = [...this.list, { ...toast, id }].slice(-limit);
    const dismiss = () => this.dismiss(id);
    if (forMs !== null) setTimeout(dismiss, forMs);
    return dismiss;
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
