/**
 * Sends a backup's bytes with what a download needs to survive a bad line: `ETag`, `Range`, `If-Range` and a right
 * `content-length` (RFC 9110, sections 13 and 14). One range is served; a list of ranges gets the whole file, which
 * the standard allows.
 */
import type { OpenedBackup } from '../service/service-port.ts';

export async function sendBackup(request: Request, filename: string, backup: OpenedBackup): Promise<Response> {
  const etag = /^(W\/)?".*"$/.test(backup.etag) ? backup.etag : `"${backup.etag}"`;
  const headers = new Headers({
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store',
    'content-disposition': `attachment; filename="${filename}"`,
    'content-type': 'application/vnd.sqlite3',
    etag,
    'last-modified': backup.modifiedAt.toUTCString(),
  });
  if (matches(request.headers.get('if-none-match'), etag)) {
    await backup.close();
    return new Response(null, { status: 304, headers });
  }

  const size = backup.sizeBytes;
  const range = mayUseRange(request, etag, backup.modifiedAt)
    ? parseRange(request.headers.get('range'), size)
    : 'whole';
  if (range === 'unsatisfiable') {
    await backup.close();
    headers.set('content-range', `bytes */${size}`);
    headers.delete('content-disposition');
    headers.delete('content-type');
    return new Response(null, { status: 416, headers });
  }
  const [from, to] = range === 'whole' ? [0, size - 1] : range;
  headers.set('content-length', String(to - from + 1));
  if (range !== 'whole') headers.set('content-range', `bytes ${from}-${to}/${size}`);
  const status = range === 'whole' ? 200 : 206;
  // A client that left while the backup was opened reads nothing, and cancels nothing.
  if (request.method === 'HEAD' || size === 0 || request.signal.aborted) {
    await backup.close();
    return new Response(null, { status, headers });
  }
  request.signal.addEventListener('abort', () => void backup.close(), { once: true });
  return new Response(backup.stream(from, to), { status, headers });
}

function matches(header: string | null, etag: string): boolean {
  if (header === null) return false;
  const wanted = etag.replace(/^W\//, '');
  return header.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === wanted);
}

function mayUseRange(request: Request, etag: string, modifiedAt: Date): boolean {
  const condition = request.headers.get('if-range');
  if (condition === null) return true;
  if (condition.startsWith('"')) return condition === etag;
  return Date.parse(condition) === Math.floor(modifiedAt.getTime() / 1000) * 1000;
}

function parseRange(
  header: string | null,
  size: number,
): 'whole' | 'unsatisfiable' | readonly [from: number, to: number] {
  const range = header === null ? null : /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim());
  const first = range?.[1] ?? '';
  const last = range?.[2] ?? '';
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const count = Math.min(Number(last), size);
    return count === 0 ? 'unsatisfiable' : [size - count, size - 1];
  }
  const from = Number(first);
  if (last !== '' && Number(last) < from) return 'whole';
  if (from >= size) return 'unsatisfiable';
  return [from, last === '' ? size - 1 : Math.min(Number(last), size - 1)];
}
