/**
 * The built dashboard, from memory: out of a module of the package, or of the repository's folder `dist/page`, where a
 * new build is noticed by the modification time of `index.html`. Files under `assets/` have their content's hash in the
 * name and are kept by the browser for ever; the others are asked for again each time and answered with 304. Everything
 * goes out under a policy that lets only our own files run.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { bundledPage } from './bundled-page.ts';

interface PageAsset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
  readonly immutable: boolean;
}

export interface PageAssets {
  /** The file at a path relative to the dashboard (`index.html`, `assets/…`); undefined when there is none. */
  find(path: string): PageAsset | undefined;
}

/** Assets of a folder, read at the first request. Without a folder: the package's own build. */
export function pageAssets(folder?: string): PageAssets {
  return folder === undefined && bundledPage !== null ? fromPackage(bundledPage) : fromFolder(folder ?? builtPage());
}

function fromPackage(bundled: Readonly<Record<string, string>>): PageAssets {
  let files: ReadonlyMap<string, PageAsset> | undefined;
  return {
    find(path) {
      files ??= new Map(
        Object.entries(bundled).map(([key, base64]) => [
          key,
          asset(key, new Uint8Array(gunzipSync(Buffer.from(base64, 'base64')))),
        ]),
      );
      return files.get(path);
    },
  };
}

function fromFolder(folder: string): PageAssets {
  let files: ReadonlyMap<string, PageAsset> = new Map();
  let readAtMtime: number | undefined;
  return {
    find(path) {
      if (files.size === 0 || path === 'index.html') {
        const mtime = statSync(join(folder, 'index.html'), {
          throwIfNoEntry: false,
        })?.mtimeMs;
        if (mtime !== readAtMtime) {
          files = mtime === undefined ? new Map() : readFolder(folder);
          readAtMtime = mtime;
        }
      }
      return files.get(path);
    },
  };
}

export function sendAsset(request: Request, asset: PageAsset): Response {
  const headers = {
    'cache-control': asset.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    'content-security-policy': contentSecurityPolicy,
    'content-type': asset.type,
    etag: asset.etag,
    'x-frame-options': 'DENY',
  };
  const known = request.headers.get('if-none-match')?.split(',') ?? [];
  if (known.some((etag) => etag.trim().replace(/^W\//, '') === asset.etag))
    return new Response(null, { status: 304, headers });
  return new Response(asset.bytes, {
    headers: { ...headers, 'content-length': String(asset.bytes.byteLength) },
  });
}

export function pageNotBuilt(): Response {
  return new Response(
    'The backup page is not built. Run `npm run build` in the repository, then reload. The API and the command line work without it.\n',
    {
      status: 503,
      headers: {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
        'retry-after': '5',
      },
    },
  );
}

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types svelte-trusted-html',
].join('; ');

/** In the repository; the package has no such folder. */
function builtPage(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '../../dist/page');
}

function readFolder(folder: string): ReadonlyMap<string, PageAsset> {
  const files = new Map<string, PageAsset>();
  for (const entry of readdirSync(folder, {
    recursive: true,
    withFileTypes: true,
  })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const key = path.slice(join(folder, sep).length).split(sep).join('/');
    files.set(key, asset(key, new Uint8Array(readFileSync(path))));
  }
  return files;
}

function asset(key: string, bytes: Uint8Array<ArrayBuffer>): PageAsset {
  return {
    bytes,
    type: contentTypes[extname(key)] ?? 'application/octet-stream',
    etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
    immutable: key.startsWith('assets/'),
  };
}

const contentTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};
