/** What is wrong with the targets beside the folder. */
import type { TargetReport } from '../../engine/store/self-test.ts';
import { targetWord } from '../../words/target-word.ts';
import { buckets, type DoctorFacts, wordsOf } from './facts.ts';
import { type Check, type Finding, found, ok } from './finding.ts';

export const sealingWorks: Check = (facts) => {
  const code = 'encryption';
  const { settings, s3 } = facts;
  const on = buckets(facts);
  if (s3.isEncrypted && !settings.s3Enabled && on.length === 0) {
    return found('warning', code, {
      what: 'public keys are set, but S3 is off',
      why: 'They encrypt only the copies at targets; the backups on this disk are not encrypted.',
      fix: 'Switch S3 on, or remove BACKUP_ENCRYPTION_RECIPIENT.',
    });
  }
  const open = on.filter(({ isEncrypted }) => !isEncrypted);
  if (open.length > 0) {
    const isByVariable = open.some(({ word }) => word === 'S3' || word === 'folder');
    const nouns = [...new Set(open.map(({ words }) => `the ${words.noun}`))].join(' or ');
    return found('info', code, {
      what: `copies on ${wordsOf(open)} are not encrypted`,
      why: `Anybody who may read ${nouns} can read the database.`,
      fix: `${isByVariable ? 'Set BACKUP_ENCRYPTION_RECIPIENT to' : 'Give the target'} an age public key, and keep the private key in two places.`,
    });
  }
  return on.length > 0 ? ok(code, `copies on ${wordsOf(on)} are encrypted`) : null;
};

/** The key signs each request and is never sent; what is read and written is. */
export const bucketsAreAskedSafely: Check = (facts) => {
  const code = 'plain-http';
  const plain = buckets(facts).filter(({ plainHost }) => plainHost !== null);
  const [first] = plain.filter(({ isEncrypted }) => !isEncrypted).concat(plain);
  if (!first) return null;
  return found(first.isEncrypted ? 'info' : 'warning', code, {
    what: `${first.word} is reached over plain http (${first.plainHost})`,
    why: first.isEncrypted
      ? 'The copies are encrypted, but their names and sizes, and the requests, can be read and changed on the way.'
      : 'Anybody who listens on the network can read every backup that goes there, and change what comes back.',
    fix: 'Use an endpoint with https, or encrypt the copies (BACKUP_ENCRYPTION_RECIPIENT).',
  });
};

export const bucketIsOwn: Check = (facts) => {
  const [shared] = buckets(facts).filter(({ isAlsoPublic }) => isAlsoPublic);
  if (shared === undefined) return null;
  if (shared.words.noun !== 'bucket') {
    return found('problem', 'public-target', {
      what: `the target ${shared.word} lies in a folder that is served to the public`,
      why: 'Anybody who guesses a name can download it.',
      fix: `Give it ${shared.words.own} that no server knows.`,
    });
  }
  return found('warning', 'bucket', {
    what: "backups are in the bucket of the app's own files, which a CDN serves",
    why: 'One wrong rule of the bucket or of the CDN makes them public.',
    fix: 'Use a separate bucket and key for backups.',
  });
};

export const copiesCanBeRead: Check = ({ archived: [first] }) => {
  if (first === undefined) return null;
  return found('warning', 'archive', {
    what: `the newest good copy on ${first.word} is in an archive class (${first.storageClass})`,
    why: `A restore from there takes ${first.takes} before it begins.`,
    fix: 'Let the rule of the bucket leave the newest backups in a class that can be read at once, such as GLACIER_IR.',
  });
};

/** Says who else writes to one target, and what is kept there because of that. */
export function ofWriter(
  { target, writer, sparesOthersUntil }: DoctorFacts['places'][number],
  own: string,
): readonly Finding[] {
  const code = 'writers';
  const word = targetWord(target);
  const findings: Finding[] = [];
  if (writer?.kind === 'other') {
    const seen = writer.seenAt === null ? '' : `, last seen at ${writer.seenAt.toISOString()}`;
    findings.push(
      found('problem', code, {
        what: `${writer.host} has been writing to ${word} since ${writer.since.toISOString()}${seen}`,
        why: "While it does, nothing from here is stored or removed there, because two writers in one place would remove each other's backups.",
        fix: `Give this machine ${own}, or stop the other one; then this one continues by itself.`,
      }),
    );
  }
  if (writer?.kind === 'clone') {
    findings.push(
      found('problem', code, {
        what: `two machines with the id of this one want to write to ${word} (${writer.host})`,
        why: 'One is a copy of the other. Only one of them writes there, and only you know which it should be.',
        fix: `On the copy, stop velist-backup, move velist-backup.installation.json away and give it ${own}.`,
      }),
    );
  }
  if (sparesOthersUntil !== null) {
    findings.push(
      found('info', code, {
        what: `backups on ${word} that others made stay until ${sparesOthersUntil.toISOString()}`,
        why: 'This installation took the place over and does not know whose they are, so retention removes only backups that it made itself.',
        fix: `If this machine replaces the one that made them, \`velist-backup claim --target ${target}\` ends that. Keep BACKUP_STATE_PATH on a volume: without it each new container is a new installation.`,
      }),
    );
  }
  return findings;
}

const whyOfCheck: Partial<Record<TargetReport['findings'][number]['check'], string>> = {
  private: 'Backups contain everything that the database contains.',
  overwrite: 'Anybody who steals this key could spoil all backups there.',
  lifecycle: 'The backup of an idle database is stored again after half of these days.',
  clock: 'S3 refuses requests from a clock that is too far off.',
};

export function ofTarget({ test: report, lifecycleDays }: DoctorFacts['s3']): readonly Finding[] {
  if (report === null) return [];
  const whyDelete = lifecycleDays
    ? 'Removal is left to the bucket, and a stolen key must not be able to remove there.'
    : 'Retention must be able to remove there.';
  return report.findings.map(({ check, result, message, hint }) => {
    const [code, what] = [`${report.target}-${check}`, `on ${targetWord(report.target)}: ${message}`];
    if (result === 'ok') return ok(code, what);
    const why = (check === 'delete' ? whyDelete : whyOfCheck[check]) ?? 'Uploads, restores or retention rely on it.';
    const fix = hint ?? `See velist-backup test-target ${report.target}.`;
    return found(result === 'failed' ? 'problem' : 'warning', code, { what, why, fix });
  });
}
