/**
 * The verdicts that ask somebody to decide: the database is gone, it lost much, a place is another database's, another
 * machine writes there. They name what is still safe, and promise nothing that the server did not say.
 */
import { ago, clockTime, count, dayTime, moment, momentsApart, plural, sentence, shownName } from './format.ts';
import { lossKeptDays, pagesLost, timeOf, type OpenLoss } from './loss.ts';
import { type Foreign, isForeign, isShared, placeName, strangerName } from './places.ts';
import { copiesOf, nextRun, usual, type Fact, type Known, type Phrase, type Words } from './verdict-parts.ts';
import { targetList, targetSubject } from './targets.ts';

export function missingWords(known: Known): Words {
  const { status, now, zone } = known;
  const { database, lastGood } = status;
  const base = { icon: 'file-x', headline: `${database.name} is missing` } as const;
  const gone: Phrase[] = ['There is no file at ', { code: database.path }, '. '];
  if (lastGood === null)
    return {
      ...base,
      say: [...gone, 'No good backup of it is known. Check DATABASE_URL.'],
      facts: [],
      actions: ['configure', 'check-again'],
    };
  const created = Date.parse(lastGood.createdAt);
  return {
    ...base,
    say: [
      ...gone,
      'Newest good backup: ',
      { strong: moment(created, now, zone) },
      `, ${ago(created, now)}. No backup is removed until the file is back.`,
    ],
    facts: [
      safeFact(known, lastGood.filename, moment(created, now, zone)),
      {
        icon: 'clock',
        mood: 'plain',
        text: `Last seen by a backup at ${clockTime(Date.parse(lastGood.holdsAt), zone)}`,
      },
    ],
    actions: ['check-again', 'configure', 'bring-back'],
  };
}

export function lossWords(known: Known): Words {
  const { status, backups, now, zone } = known;
  const { loss } = status;
  if (loss === null)
    return {
      icon: 'shield-x',
      headline: 'Much was lost',
      say: ['The newest backup has much less in it than the one before. The one before is kept.'],
      facts: nextRun(known),
      actions: ['configure', 'backup'],
    };
  const held = [loss.before, ...(loss.dayBefore === null ? [] : [loss.dayBefore])].filter((name) =>
    backups.some(({ filename }) => filename === name),
  );
  const times = held.map((name) => dayTime(timeOf(name), now, zone));
  const [before, since] = momentsApart([Date.parse(loss.beforeAt), Date.parse(loss.at)], now, zone);
  const isHeld = held.includes(loss.before);
  return {
    icon: 'shield-x',
    ...lossHeadline(loss, before, since),
    tab: `${status.database.name} lost much`,
    say: [
      held.length === 0
        ? 'The backups from before are not here any more. '
        : `${held.length === 1 ? 'The backup' : 'The backups'} from before ${held.length === 1 ? 'is' : 'are'} safe: ${times.join(' and ')} ${held.length === 1 ? 'is' : 'are'} kept until you answer, for ${lossKeptDays} days at most. `,
      'Backups go on.',
    ],
    losses: loss.tables,
    facts: [...(isHeld ? [safeFact(known, loss.before, before)] : []), ...nextRun(known)],
    actions: [...(isHeld ? (['restore-before'] as const) : []), 'accept-loss', 'configure', 'see-loss'],
  };
}

/** "orders had 8,310 rows at 14:20 and has 0 since 14:30" */
function lossHeadline(loss: OpenLoss, before: string, since: string): Pick<Words, 'headline' | 'subject'> {
  const [worst] = loss.tables;
  if (worst === undefined)
    return { headline: `${pagesLost(loss)} of what was in the database at ${before} is gone since ${since}` };
  const subject = shownName(worst.name);
  const now = worst.after === null ? 'is gone' : `has ${count(worst.after)}`;
  return { subject, headline: `${subject} had ${plural(worst.before, 'row')} at ${before} and ${now} since ${since}` };
}

export function foreignWords(known: Known): Words {
  const { status, backups, now, zone } = known;
  const place = status.places.find(isForeign);
  if (place === undefined)
    return {
      icon: 'folder-x',
      headline: 'A place holds the backups of another database',
      say: ['Nothing is written there and nothing is removed until you decide.'],
      facts: nextRun(known),
      actions: ['configure', 'backup'],
    };
  const isHere = place.target === 'local';
  const { newestBackup } = place.other;
  const name = strangerName(place.other.name, status.database.name);
  const many = backups.filter(({ other }) => other?.name === place.other.name).length;
  const newest = newestBackup === null ? '' : `newest ${moment(Date.parse(newestBackup.createdAt), now, zone)}`;
  const counted = many === 0 ? newest : `${plural(many, 'backup')} of ${name}${newest === '' ? '' : `, ${newest}`}`;
  return {
    icon: 'folder-x',
    headline: `${isHere ? 'This folder' : targetSubject(place.target)} holds the backups of another database`,
    say: [
      { code: placeName(status, place.target) },
      ' belongs to ',
      { strong: name },
      `${machineOf(place)}. Nothing of ${status.database.name} is written there and nothing is removed until you decide.`,
    ],
    facts: [ownFact(known), ...(counted === '' ? [] : [{ icon: 'drive', mood: 'plain', text: counted } as const])],
    // What can't be kept need not be made.
    actions: isHere ? ['configure'] : ['configure', 'backup'],
    isAskedBelow: true,
  };
}

export function writerWords(known: Known): Words {
  const { status, now, zone } = known;
  const place = status.places.find(isShared);
  const isClone = status.verdict.code === 'cloned';
  const headline = isClone ? 'This machine was cloned' : 'Another machine writes here';
  // Nobody writes there now, but somebody did who is us: a clone, or this machine before it was set back.
  if (place === undefined)
    return {
      icon: 'server',
      headline: isClone ? 'This machine was cloned, or set back' : headline,
      say: [
        `${sentence(status.verdict.detail ?? '')} Local backups go on. If this machine is the right one, say so: `,
        { code: `velist-backup claim --target ${status.targets.find(({ enabled }) => enabled)?.target ?? 's3'}` },
        '.',
      ],
      facts: [ownFact(known)],
      actions: usual,
    };
  const { host, since, seenAt } = place.writer;
  const waiting = status.targets.find(({ target }) => target === place.target)?.waiting ?? 0;
  const facts: Fact[] = [
    ...(seenAt === null
      ? []
      : [{ icon: 'alert', mood: 'no', text: `${host} seen ${ago(Date.parse(seenAt), now)}` } as const]),
    ...(waiting === 0
      ? []
      : [
          {
            icon: 'cloud',
            mood: 'plain',
            text: `${plural(waiting, 'backup')} ${waiting === 1 ? 'waits' : 'wait'} here`,
          } as const,
        ]),
  ];
  return {
    icon: 'server',
    headline,
    say: [
      ...(isClone
        ? ['Two machines have the same identity. ', { strong: host }, ' has been writing to ']
        : [{ strong: host }, ' has been writing to ']),
      { code: placeName(status, place.target) },
      ` since ${moment(Date.parse(since), now, zone)}. This machine goes on locally and neither uploads nor removes anything there.`,
    ],
    facts: [ownFact(known), ...facts],
    actions: ['configure', 'backup'],
    isAskedBelow: true,
  };
}

/** " on this machine", or nothing where it is not known. */
function machineOf({ other }: Foreign): string {
  if (other.isSameMachine === null) return '';
  return other.isSameMachine ? ' on this machine' : ' on another machine';
}

function ownFact({ status, now }: Known): Fact {
  const { lastGood, database } = status;
  return lastGood === null
    ? { icon: 'alert', mood: 'no', text: `${database.name} has no backup yet` }
    : {
        icon: 'check',
        mood: 'ok',
        text: `Last good backup of ${database.name} ${ago(Date.parse(lastGood.createdAt), now)}`,
      };
}

/** "14:20 is verified, in Local and S3" */
function safeFact(known: Known, filename: string, time: string): Fact {
  const backup = known.backups.find((candidate) => candidate.filename === filename);
  const isHere = backup?.placements.some(({ target, status }) => target === 'local' && status === 'stored') ?? false;
  const places = [...(isHere ? [{ target: 'local' }] : []), ...copiesOf(known, filename)];
  const where = places.length === 0 ? '' : `in ${targetList(places)}`;
  const isVerified = backup?.verified ?? true;
  return {
    icon: isVerified ? 'check' : 'alert',
    mood: isVerified ? 'ok' : 'no',
    text: `${time} is ${isVerified ? 'verified' : 'not checked'}${where === '' ? '' : `, ${where}`}`,
  };
}
