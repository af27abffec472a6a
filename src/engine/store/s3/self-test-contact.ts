/** The first two questions to a bucket that is about to be set up: does its server answer, and does it know the key? */
import { BackupError } from '../../../words/errors.ts';
import { type Check, namesBegin, ok, warning } from '../self-test-checks.ts';
import { isLoopback } from '../../../words/loopback.ts';

/** One request answers both. @param baseUrl where objects are asked for. */
export function contactWith(baseUrl: string): readonly Check[] {
  const { protocol, host, hostname } = new URL(baseUrl);
  let refusal: BackupError | null = null;
  const reach: Check = {
    name: 'reach',
    cannot: 'the server cannot be reached',
    async run({ store, signal }) {
      refusal = null;
      try {
        for await (const _ of store.list(namesBegin, { signal })) break;
      } catch (thrown) {
        refusal = BackupError.from(thrown);
        if (refusal.code === 'S3_UNREACHABLE' || refusal.code === 'ABORTED') throw refusal;
      }
      if (protocol === 'https:') return ok(`${host} answers, and its certificate is good`);
      if (isLoopback(hostname)) return ok(`${host} answers`);
      return warning(`${host} answers over plain http`, 'Anybody on the way can read the backups. Use https.');
    },
  };
  const signsIn: Check = {
    name: 'sign-in',
    cannot: 'the key does not open this bucket',
    async run() {
      if (refusal !== null) throw refusal;
      return ok('the key is accepted, and the bucket is there');
    },
  };
  return [reach, signsIn];
}
