/**
 * An upload of a file from elsewhere, as the dialog shows it: sent in pieces, because proxies let no large body through and a
 * lost piece is sent again; then checked; then kept or discarded. Whatever ends the dialog before that discards it.
 */
import type { Arrival, Backup } from '../../http/contract.ts';
import { ApiError, address, send } from '../api.ts';

type Phase = 'choose' | 'sending' | 'checking' | 'shown' | 'keeping';

const pieceFirstBytes = 256 * 1024;
const pieceLeastBytes = 32 * 1024;
const quickMs = 1_000;
const slowMs = 5_000;
/** A piece is sent again as often. */
const lostMost = 4;
const lostWaitMs = 1_000;

export class ArrivalUpload {
  phase = $state<Phase>('choose');
  sentBytes = $state(0);
  file = $state.raw<File | null>(null);
  arrival = $state.raw<Arrival | null>(null);
  failure = $state.raw<ApiError | null>(null);
  #id: string | null = null;
  /** Another file, or none: what still goes on for an earlier one ends. */
  #turn = 0;

  /** From the first byte to what it holds. */
  async take(file: File): Promise<void> {
    await this.discard();
    const turn = this.#turn;
    this.file = file;
    this.failure = null;
    this.sentBytes = 0;
    this.phase = 'sending';
    let id: string | undefined;
    try {
      const modifiedAt = new Date(file.lastModified).toISOString();
      const begun = await send('POST /api/arrivals', { body: { name: file.name, sizeBytes: file.size, modifiedAt } });
      id = begun.id;
      this.#id = id;
      if (!(await this.#sendAll(file, begun, turn))) return await remove(id);
      this.phase = 'checking';
      const arrival = await send('POST /api/arrivals/:arrival/check', { params: { arrival: id } });
      if (turn !== this.#turn) return await remove(id);
      this.arrival = arrival;
      this.phase = 'shown';
    } catch (error) {
      if (id !== undefined) await remove(id);
      if (turn !== this.#turn) return;
      this.#id = null;
      this.failure = ApiError.from(error);
      this.phase = 'choose';
    }
  }

  /** Undefined when it was refused. */
  async keep(): Promise<Backup | undefined> {
    const id = this.#id;
    if (id === null || this.phase !== 'shown') return undefined;
    this.phase = 'keeping';
    this.failure = null;
    try {
      const backup = await send('POST /api/arrivals/:arrival/adopt', { params: { arrival: id } });
      this.#id = null;
      return backup;
    } catch (error) {
      this.failure = ApiError.from(error);
      this.phase = 'shown';
      return undefined;
    }
  }

  /** What is on its way ends, and nothing of it stays. */
  async discard(): Promise<void> {
    this.#turn++;
    const [id, phase] = [this.#id, this.phase];
    this.#id = null;
    this.arrival = null;
    this.phase = 'choose';
    // While it is sent or checked, whoever does that removes it afterwards.
    if (id !== null && phase === 'shown') await remove(id);
  }

  /** The page is being left: nobody waits for the answer. */
  leave(): void {
    if (this.#id === null) return;
    const path = `api/arrivals/${this.#id}`;
    void fetch(address(path), { method: 'DELETE', keepalive: true, credentials: 'same-origin' }).catch(() => {});
  }

  /** False if somebody ended it. */
  async #sendAll(
    file: File,
    { id, pieceBytesMax }: { readonly id: string; readonly pieceBytesMax: number },
    turn: number,
  ): Promise<boolean> {
    let pieceBytes = Math.min(pieceFirstBytes, pieceBytesMax);
    let lost = 0;
    for (let at = 0; at < file.size;) {
      if (turn !== this.#turn) return false;
      const body = new Uint8Array(await file.slice(at, at + pieceBytes).arrayBuffer());
      const startedAt = performance.now();
      try {
        await send('PATCH /api/arrivals/:arrival', { params: { arrival: id }, query: { at }, body });
      } catch (error) {
        // Busy: the piece came, and its answer did not.
        const isLost = ['UNREACHABLE', 'BUSY'].includes(ApiError.from(error).code);
        if (!isLost || ++lost > lostMost) throw error;
        pieceBytes = Math.max(pieceLeastBytes, pieceBytes / 2);
        await new Promise((resolve) => setTimeout(resolve, lostWaitMs * lost));
        continue;
      }
      lost = 0;
      at += body.length;
      this.sentBytes = at;
      const took = performance.now() - startedAt;
      if (took < quickMs) pieceBytes = Math.min(pieceBytesMax, pieceBytes * 2);
      else if (took > slowMs) pieceBytes = Math.max(pieceLeastBytes, pieceBytes / 2);
    }
    return turn === this.#turn;
  }
}

/** What can't be removed now goes by itself after some hours. */
async function remove(id: string): Promise<void> {
  await send('DELETE /api/arrivals/:arrival', { params: { arrival: id } }).catch(() => {});
}
