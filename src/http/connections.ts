/**
 * How many connections our own server holds open, and whose. A stranger may open as many as an address gives him; what
 * is beyond the limits costs him his own oldest ones, and never a connection over which somebody was let in. So whoever
 * is signed in keeps their page, and a new connection of theirs has its place until its request is judged.
 *
 * What is sent by halves ends by the timeouts of `node:http` (CWE-400; the attack is known as Slowloris).
 */
import type { Socket } from 'node:net';
import type { ServerOptions } from 'node:http';
import { networkOf } from './client.ts';

/** Half of the 1,024 files that a process may usually open: backups need theirs. */
const MOST = 500;
/** Connections of one address, while nobody was let in over them. */
const MOST_OF_STRANGER = 100;

export const timeouts: ServerOptions = {
  headersTimeout: 10_000,
  /** The whole request: a body has 1 MiB at most. */
  requestTimeout: 30_000,
  connectionsCheckingInterval: 2_000,
};

interface Open {
  readonly network: string;
  isAdmitted: boolean;
}

export class Connections {
  /** Oldest first. */
  readonly #open = new Map<Socket, Open>();

  accept(socket: Socket): void {
    const network = networkOf(socket.remoteAddress ?? '');
    this.#open.set(socket, { network, isAdmitted: false });
    socket.once('close', () => this.#open.delete(socket));
    const strangers = [...this.#open].filter(([, { isAdmitted }]) => !isAdmitted);
    const beside = strangers.filter(([, open]) => open.network === network);
    const oldest = beside.length > MOST_OF_STRANGER ? beside[0] : this.#open.size > MOST ? strangers[0] : undefined;
    if (!oldest) return;
    this.#open.delete(oldest[0]);
    oldest[0].destroy();
  }

  admit(socket: Socket): void {
    const open = this.#open.get(socket);
    if (open) open.isAdmitted = true;
  }
}
