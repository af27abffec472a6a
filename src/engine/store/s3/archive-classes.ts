/**
 * Classes of storage whose objects can be listed and not read: each must be brought back first, by a request to the
 * provider, and that takes hours. The times are the providers' own, from the usual way to the cheapest.
 *
 * `GLACIER_IR` answers at once, and so does Google's `ARCHIVE`, unlike the class of that name at Tencent.
 */
const hours: Readonly<Record<string, string>> = {
  GLACIER: '3 to 12 hours',
  DEEP_ARCHIVE: '12 to 48 hours',
  Archive: 'up to an hour',
  ColdArchive: '1 to 12 hours',
  DeepColdArchive: '12 to 48 hours',
};
const atTencent: Readonly<Record<string, string>> = { ARCHIVE: '3 to 12 hours' };

/** How long a read of an object of that class has to wait; null when it has not. */
export function hoursOf(storageClass: string | null | undefined, host = ''): string | null {
  if (!storageClass) return null;
  return hours[storageClass] ?? (host.endsWith('.myqcloud.com') ? (atTencent[storageClass] ?? null) : null);
}

/** Any class whose name is one of these, however it is written: for what a person asks for. */
export function isArchiveClass(storageClass: string): boolean {
  return Object.keys(hours).some((name) => name.toLowerCase() === storageClass.toLowerCase());
}
