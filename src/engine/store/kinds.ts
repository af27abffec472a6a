/**
 * The kinds of target. Whoever means *a target* goes through here; only a kind's own folder knows how it is reached. A
 * new kind is a folder beside the others, a row here, its settings, its documentation, and the contract suite.
 */
import type { FolderAccess } from './folder/access.ts';
import { folderKind } from './folder/kind.ts';
import type { KitNamed, KitPart, KitStep, StreamStep } from './kit.ts';
import type { Kind, OpenOptions, Risks, Surroundings, TargetStore } from './kind.ts';
import type { S3Access } from './s3/access.ts';
import { s3Kind } from './s3/kind.ts';
import type { TestedTarget } from './self-test-checks.ts';
import type { StoreWords } from './store.ts';

export type { Risks, TargetStore } from './kind.ts';

const kinds = { s3: s3Kind, folder: folderKind };

export type TargetAccess = S3Access | FolderAccess;

/** The row of the table fits the access that names it. */
function kindOf<Access extends TargetAccess>({ kind }: Access): Kind<Access> {
  return kinds[kind] as Kind<TargetAccess> as Kind<Access>;
}

export function openTarget(access: TargetAccess, prefix: string, options?: OpenOptions): TargetStore {
  return kindOf(access).open(access, prefix, options);
}

export function addressOf(access: TargetAccess, prefix: string): string {
  return kindOf(access).addressOf(access, prefix);
}

/** One for all names of one place, as far as they can be told now. */
export function identityOf(access: TargetAccess, prefix: string): string {
  return kindOf(access).identityOf(access, prefix);
}

export function stateKeyOf(access: TargetAccess, prefix: string): string {
  return kindOf(access).stateKeyOf(access, prefix);
}

export function whereOf(access: TargetAccess, prefix: string): string {
  return kindOf(access).whereOf(access, prefix);
}

export function wholeOf(access: TargetAccess): string {
  return kindOf(access).wholeOf(access);
}

export function connectionOf(access: TargetAccess): string {
  return kindOf(access).connectionOf(access);
}

/** How sentences speak of a target of that kind. */
export function wordsOf({ kind }: Pick<TargetAccess, 'kind'>): StoreWords {
  return kinds[kind].words;
}

/** @param backupsPath the folder of the backups here. */
export function faultOfTarget(
  access: TargetAccess,
  prefix: string,
  backupsPath: string | undefined,
): { readonly what: string; readonly hint: string } | null {
  return kindOf(access).faultOf(access, prefix, backupsPath);
}

export function lifecycleDaysOf(access: TargetAccess): number | null {
  return kindOf(access).lifecycleDaysOf(access);
}

export function archiveHoursOf(access: TargetAccess, storageClass: string | null | undefined): string | null {
  return kindOf(access).archiveHoursOf(access, storageClass);
}

export function risksOf(access: TargetAccess, surroundings: Surroundings): Risks {
  return kindOf(access).risksOf(access, surroundings);
}

/** What the recovery kit says of these targets: what each kind needs, and how each target is read without us. */
export function kitOf(targets: readonly KitNamed<TargetAccess>[]) {
  const ofKinds = Object.entries(kinds).flatMap(([kind, { kit }]) => {
    const some = targets.filter(({ access }) => access.kind === kind);
    return some.length === 0 ? [] : [{ kit: kit as KitPart<TargetAccess>, some }];
  });
  return {
    programs: ofKinds.flatMap(({ kit }) => kit.program ?? []),
    needs: ofKinds.flatMap(({ kit, some }) => kit.needs(some)),
    stream: (target: KitNamed<TargetAccess>): StreamStep => kindOf(target.access).kit.stream(target),
    otherClients: ofKinds.flatMap(({ kit, some }) => kit.otherClients(some) ?? []),
    fetching: (target: KitNamed<TargetAccess>, step: KitStep) => kindOf(target.access).kit.fetching(target, step),
  };
}

export function targetToTest(access: TargetAccess, prefix: string): TestedTarget {
  return kindOf(access).test(access, prefix);
}
