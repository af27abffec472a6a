import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { NO_IDENTITY } from '../../engine/catalog/identity.ts';
import type { RemoteListing } from '../../engine/catalog/store-catalog.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import { TargetState } from '../state/target-state.ts';
import { isUnread, KnownPlace } from './known-place.ts';

const scratch = scratchFolders();
const now = new Date('2024-03-01T12:00:00Z');
const manifest = manifestOf(now);
const { name } = manifest;
const damaged = { method: 'full', at: now.toISOString(), complaint: 'page 7 is lost' } as const;

function listingOf(change: {
  readonly etag: string;
  readonly read?: Manifest;
  readonly fault?: string;
}): RemoteListing {
  const { etag, read, fault = null } = change;
  return { entries: [{ name, etag, fault }], read: read ? [read] : [], unnamed: [], identity: NO_IDENTITY };
}

function placeWith(path = join(scratch(), 'state.sqlite')) {
  const state = new TargetState(path, { warn: (message) => expect.unreachable(message) });
  const known = new KnownPlace({ target: 's3', state, placeNow: () => 'here', now: () => now });
  const take = (listing: RemoteListing) => known.take(listing, known.begin());
  return { known, take, path, [Symbol.dispose]: () => state.close() };
}

test('a listing that did not read a manifest forgets nothing of that copy, over a restart either', () => {
  using place = placeWith();
  const { known, take, path } = place;
  take(listingOf({ etag: 'a', read: manifest }));
  known.replace({ ...(known.entries().get(name) ?? expect.unreachable()), verification: damaged });
  for (const fault of ['S3 did not answer', 'its manifest has not been read yet']) {
    take(listingOf({ etag: '', fault }));
    expect(known.find(name)).toMatchObject({ fault, manifest: { name, verification: damaged } });
    expect(isUnread(known.entries().get(name))).toBe(true);
    // It is read again.
    expect(known.toKnow()).toEqual([]);
  }
  using later = placeWith(path);
  later.take(listingOf({ etag: 'a', read: { ...manifest, pinned: true } }));
  expect(later.known.find(name)).toMatchObject({ fault: null, manifest: { pinned: true, verification: damaged } });
  const another = { ...manifest, artifact: { ...manifest.artifact, sha256: '1'.repeat(64) } };
  later.take(listingOf({ etag: 'b', read: another }));
  expect(later.known.find(name)?.manifest?.verification).toEqual(manifest.verification);
});

test('what is no manifest any more says nothing, and is no manifest that could not be read', () => {
  using place = placeWith();
  const { known, take } = place;
  take(listingOf({ etag: 'a', read: manifest }));
  take(listingOf({ etag: 'b', fault: 'it is no manifest' }));
  expect(known.find(name)).toMatchObject({ fault: 'it is no manifest', manifest: null });
  expect(isUnread(known.entries().get(name))).toBe(false);
});
