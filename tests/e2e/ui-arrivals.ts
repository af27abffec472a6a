/** The answers of the fixture to a page that uploads a file: what comes is looked at for its first bytes alone. */
import type { Arrival, Backup, BackupDiff } from '../../src/http/contract.ts';
import { PIECE_BYTES_MAX } from '../../src/http/contract.ts';

export interface ArrivalScene {
  readonly likeness?: Arrival['likeness'];
  /** The file is a backup that is here. */
  readonly isKnown?: boolean;
  readonly remarks?: readonly string[];
  /** A check waits for this. */
  readonly until?: Promise<void>;
  /** How many pieces are lost on their way. */
  readonly lost?: number;
}

interface Arrived {
  readonly name: string;
  readonly sizeBytes: number;
  receivedBytes: number;
}

export class FixtureArrivals {
  readonly #scene: ArrivalScene;
  readonly #backups: () => Backup[];
  readonly #make: (name: string) => Backup;
  readonly #arrived = new Map<string, Arrived>();
  #lost: number;

  /** @param make a backup of such a file, as it is listed from then on. */
  constructor(scene: ArrivalScene, backups: () => Backup[], make: (name: string) => Backup) {
    this.#scene = scene;
    this.#lost = scene.lost ?? 0;
    this.#backups = backups;
    this.#make = make;
  }

  /** Those that are neither adopted nor discarded. */
  get left(): number {
    return this.#arrived.size;
  }

  async answer(request: Request, path: string): Promise<Response | undefined> {
    const [, id, verb] = /^api\/arrivals(?:\/([^/]+))?(?:\/(\w+))?$/.exec(path) ?? [];
    if (!path.startsWith('api/arrivals')) return undefined;
    if (id === undefined) return await this.#begin(request);
    const arrived = this.#arrived.get(id);
    if (!arrived) return refusal(404, 'GONE', 'that file is no longer here', 'Send it again.');
    if (request.method === 'PATCH') return await this.#append(request, arrived, id);
    if (verb === 'check') {
      await this.#scene.until;
      return Response.json(this.#shown(id, arrived));
    }
    this.#arrived.delete(id);
    if (request.method === 'DELETE') return Response.json({ success: true });
    return Response.json(this.#scene.isKnown ? this.#backups()[0] : this.#make(arrived.name));
  }

  async #begin(request: Request): Promise<Response> {
    const { name, sizeBytes } = (await request.json()) as { name: string; sizeBytes: number };
    const id = crypto.randomUUID();
    this.#arrived.set(id, { name, sizeBytes, receivedBytes: 0 });
    return Response.json({ id, pieceBytesMax: PIECE_BYTES_MAX });
  }

  async #append(request: Request, arrived: Arrived, id: string): Promise<Response> {
    if (this.#lost-- > 0) return new Response('<h1>413 Request Entity Too Large</h1>', { status: 413 });
    const bytes = await request.bytes();
    const at = Number(new URL(request.url).searchParams.get('at'));
    if (at === 0 && !Buffer.from(bytes).toString('latin1').startsWith('SQLite format 3\0')) {
      this.#arrived.delete(id);
      const what = `${arrived.name} is not a SQLite database: it is another kind of file`;
      return refusal(422, 'BAD_BACKUP', what, 'Take the database file itself.');
    }
    arrived.receivedBytes = at + bytes.length;
    return Response.json({ receivedBytes: arrived.receivedBytes });
  }

  #shown(id: string, { name, sizeBytes }: Arrived): Arrival {
    const { likeness = 'same', isKnown = false, remarks = [] } = this.#scene;
    const [newest] = this.#backups();
    const isAnother = likeness === 'another';
    const rows: Readonly<Record<string, number>> = isAnother
      ? { articles: 1_204, revisions: 9_870, writers: 12 }
      : { audit_log: 51_871, customers: 1_204, order_items: 24_813, orders: 8_279, products: 412, sessions: 380 };
    const now = {
      audit_log: 51_920,
      customers: 1_204,
      order_items: 24_901,
      orders: 8_310,
      products: 412,
      sessions: 377,
    };
    const side = (of: number | undefined) => (of === undefined ? null : { rows: of, bytes: 40_960 });
    const names = [...new Set([...Object.keys(now), ...Object.keys(rows)])];
    const diff: BackupDiff = {
      ...{ a: newest?.filename ?? '', b: name, isSameSchema: likeness === 'same' },
      usedBytes: { before: 14_200_000, after: sizeBytes },
      tables: names.map((table) => {
        const [before, after] = [side((now as Record<string, number>)[table]), side(rows[table])];
        const change =
          before === null ? 'added' : after === null ? 'removed' : before.rows === after.rows ? 'same' : 'rows';
        return { name: table, change, before, after };
      }),
    };
    return {
      ...{ id, name, sizeBytes, likeness, isWal: true, furtherTables: 0, remarks: [...remarks] },
      createdAt: '2026-11-21T16:02:00.000Z',
      sha256: '0'.repeat(64),
      rows: Object.values(rows).reduce((sum, one) => sum + one, 0),
      tables: Object.entries(rows).map(([table, of]) => ({ name: table, rows: of, bytes: 40_960 })),
      diff: likeness === 'unknown' ? null : diff,
      known: isKnown && newest ? { filename: newest.filename, createdAt: newest.createdAt, other: null } : null,
    };
  }
}

function refusal(status: number, code: string, message: string, hint: string): Response {
  return Response.json({ error: { code, message, hint } }, { status });
}
