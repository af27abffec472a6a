/**
 * What is wrong, or may go wrong, with the way an app and its backups are set up. Pure: facts in, findings out, so that
 * each can be tried without the disk, the server or the mistake that it is about. A finding says what was found, why it
 * matters, and what to do.
 */
import {
  doorIsNarrow,
  folderIsPrivate,
  nothingIsServed,
  nothingIsSetAside,
  passwordIsLong,
  secretsArePrivate,
  credentialsAreRead,
  setUpIsUsed,
  settingsAreRead,
  stateIsPrivate,
} from './access-findings.ts';
import { commitsAreCaptured, commitsAreShipped } from './continuous-findings.ts';
import {
  checkHasNoRemarks,
  databaseOpens,
  isAlone,
  journalIsWal,
  libraryIsSafe,
  libraryMissesNoLocks,
  logShrinks,
  nothingWasLost,
} from './database-findings.ts';
import { type DoctorFacts, ownPlaceAt } from './facts.ts';
import type { Check, Finding } from './finding.ts';
import { databaseIsLocal, folderIsDurable, hasRoom, isElsewhere, ofDoubt, placesAreOurs } from './place-findings.ts';
import {
  ageFitsInterval,
  clockIsRight,
  copiesPassed,
  drillsProve,
  historyIsLong,
  isScheduled,
  keepFitsInterval,
  renewalFits,
  scheduleAdvances,
} from './schedule-findings.ts';
import {
  bucketIsOwn,
  bucketsAreAskedSafely,
  copiesCanBeRead,
  ofTarget,
  ofWriter,
  sealingWorks,
} from './target-findings.ts';

/** The worst first; a check that has nothing to look at says nothing. */
export function findAll(facts: DoctorFacts): readonly Finding[] {
  const findings = [
    ...checks.flatMap((check) => check(facts) ?? []),
    ...facts.database.doubts.flatMap(ofDoubt),
    ...facts.places.flatMap((place) => ofWriter(place, ownPlaceAt(facts, place.target))),
    ...[facts.s3, ...facts.targets].flatMap(ofTarget),
  ];
  return findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
}

const severities: readonly Finding['severity'][] = ['problem', 'warning', 'info', 'ok'];

/** True when somebody should act. */
export function isOfWeight({ severity }: Finding): boolean {
  return severity === 'problem' || severity === 'warning';
}

/** In the order in which those of one severity are shown. */
const checks: readonly Check[] = [
  databaseOpens,
  scheduleAdvances,
  commitsAreCaptured,
  commitsAreShipped,
  nothingWasLost,
  checkHasNoRemarks,
  libraryIsSafe,
  libraryMissesNoLocks,
  journalIsWal,
  logShrinks,
  isAlone,
  databaseIsLocal,
  folderIsDurable,
  isElsewhere,
  hasRoom,
  placesAreOurs,
  folderIsPrivate,
  stateIsPrivate,
  secretsArePrivate,
  settingsAreRead,
  credentialsAreRead,
  setUpIsUsed,
  nothingIsSetAside,
  nothingIsServed,
  clockIsRight,
  isScheduled,
  ageFitsInterval,
  historyIsLong,
  keepFitsInterval,
  sealingWorks,
  bucketIsOwn,
  renewalFits,
  bucketsAreAskedSafely,
  doorIsNarrow,
  passwordIsLong,
  copiesCanBeRead,
  copiesPassed,
  drillsProve,
];
