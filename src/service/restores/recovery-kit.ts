/**
 * One text that gets the data back when this program is gone: by `curl`, `sqlite3`, `zstd`, `age` and a shell, with the
 * true values of this setup and no secret in it. Its commands are for a POSIX shell and follow each other in one; the
 * test `recovery-kit.test.ts` runs them as they stand.
 *
 * What the bucket says is believed by nobody: names are taken in our own forms alone, because they become files here, and
 * nothing grows beyond the size that was announced.
 */
import { type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { type KitNamed, shell } from '../../engine/store/kit.ts';
import { kitOf, type TargetAccess } from '../../engine/store/kinds.ts';
import { streamKit } from './stream-kit.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import { targetWord } from '../../words/target-word.ts';
import { shellWord as quoted, visibleLine } from '../../words/visible-text.ts';

interface KitFacts {
  readonly writtenAt: Date;
  readonly version: string;
  /** Absolute. */
  readonly databasePath: string;
  /** Absolute. */
  readonly backupsPath: string;
  /** How its manifests name the database: ids, and names where a manifest bears no id. Others may lie beside it. */
  readonly ids?: readonly string[];
  readonly names?: readonly string[];
  /** The journal mode of the newest backup's database; null when that is not known. */
  readonly journalMode: string | null;
  /** Commits are captured, and copied to the targets: newer than any backup. */
  readonly isCaptured?: boolean;
  /** In the order in which they are to be tried. */
  readonly targets: readonly KitTarget[];
  /** Names of the newest here, newest first. */
  readonly here: readonly string[];
}

export interface KitTarget extends KitNamed<TargetAccess> {
  readonly sealing: { readonly compression: 'none' | 'zstd'; readonly recipients: readonly string[] };
  /** Where the newest copies are, newest first. */
  readonly there: readonly string[];
  /** Why they could not be listed. */
  readonly complaint: string | null;
}

/** What may be relied on as it is, newest first. */
export function knownGood(places: readonly PlannedPlace<KnownBackup>[], now: Date): readonly KnownBackup[] {
  const wish = { point: { latest: true }, purpose: 'known-good' } as const;
  const { considered } = planRestore(wish, places, { now });
  return considered.flatMap(({ copy, passedOver }) => (passedOver === null ? copy : []));
}

export function recoveryKit(facts: KitFacts): string {
  const { targets, databasePath, writtenAt, version } = facts;
  const kit = kitOf(targets);
  const parts = [
    `# Recovery kit of ${databasePath}`,
    `Written ${writtenAt.toISOString()} by velist-backup ${version}. It gets the database back without that program. Write it anew
when a target or the keys change: velist-backup kit --output FILE`,
    needed(facts, kit),
    `## 1. Begin

Run all commands in one shell, in this order. They change nothing before step 4.

${shell(`umask 077
mkdir -p velist-recovery && cd velist-recovery`)}`,
    ...targets.map((target, index) =>
      kit.fetching(target, {
        heading: `## 2${letter(index)}. ${index === 0 ? 'Get' : 'Or get'} the backup from ${targetWord(target.name)}`,
        isSealed: target.sealing.recipients.length > 0,
        isOurs: isOurs(facts),
      }),
    ),
    fromFolder(facts),
    open,
    putInPlace(facts),
    ...(facts.isCaptured ? [streamKit(targets, kit.stream, facts.backupsPath)] : []),
    ...(kit.otherClients.length > 0 ? [`## Other clients\n\n${kit.otherClients.join('\n\n')}`] : []),
    newest(facts),
  ];
  return `${parts.join('\n\n')}\n`;
}

const letter = (index: number) => String.fromCharCode('a'.charCodeAt(0) + index);

function needed({ targets }: KitFacts, { programs, needs }: ReturnType<typeof kitOf>): string {
  const lines = ['## What is needed', '', '- `sqlite3` and `sha256sum` (Debian: packages sqlite3, coreutils).'];
  if (targets.length === 0) return lines.join('\n');
  const openers = '`zstd` for files that end in .zst, `age` for files that end in .age (packages of the same names)';
  lines.push(`- ${[...programs, openers].join('; ')}.`, ...needs);
  const sealed = targets.filter(({ sealing }) => sealing.recipients.length > 0);
  for (const { name, sealing } of sealed) {
    lines.push(
      `- For the copies on ${targetWord(name)}: the age identity (private key) of one of these recipients. It is not in this
  text and not on the server; **without it nobody can open those copies**. Keep it apart from this text and from the
  copies, in two places:
${sealing.recipients.map((recipient) => `  - ${recipient}`).join('\n')}`,
    );
  }
  if (sealed.length > 1) lines.push('- `key.txt` may hold several identities, one a line.');
  return lines.join('\n');
}

function fromFolder(facts: KitFacts): string {
  const { targets, backupsPath } = facts;
  const number = targets.length === 0 ? '2' : `2${letter(targets.length)}`;
  return `## ${number}. ${targets.length === 0 ? 'Get the backup' : 'Or get it'} from the folder

Where the disk with ${backupsPath} is still there, its files are whole databases.

${shell(`name=
for manifest in $(ls -r ${quoted(backupsPath)} | grep '^backup-[0-9T-]*Z\\.sqlite\\.json$'); do
  cp ${quoted(`${backupsPath}/`)}"$manifest" . || continue
  if ! grep -q '"trigger": "safety"' "$manifest" && grep -q '"complaint": null' "$manifest"${isOurs(facts)}; then
    name=\${manifest%.json}; break
  fi
done
echo "\${name:-None of them will do}"
file=$name
cp ${quoted(`${backupsPath}/`)}"$file" .`)}`;
}

/** A condition of the shell: the manifest bears one of our ids, or none and one of our names. */
function isOurs({ ids = [], names = [] }: KitFacts): string {
  if (names.length === 0) return '';
  const lines = (key: string, values: readonly string[]) =>
    values.map((value) => `-e ${quoted(`"${key}": ${JSON.stringify(value)}`)}`).join(' ');
  const named = `{ ! grep -q '"databaseId"' "$manifest" && grep -qF ${lines('name', names)} "$manifest"; }`;
  return ids.length === 0
    ? ` &&\n    ${named}`
    : ` &&\n    { grep -qF ${lines('databaseId', ids)} "$manifest" || ${named}; }`;
}

const open = `## 3. Open and check it

${shell(`size=$(sed -n '/"database"/,/}/s/^ *"sizeBytes": \\([0-9]\\{1,15\\}\\),*$/\\1/p' "$name.json")
(
  ulimit -f $((size / 512 + 1))
  case "$file" in
    *.zst.age) age -d -i ../key.txt "$file" | zstd -q -d -f -o "$name" ;;
    *.age) age -d -i ../key.txt -o "$name" "$file" ;;
    *.zst) zstd -q -d -f -o "$name" "$file" ;;
  esac
)
echo "$(sed -n '/"database"/,/}/s/.*"sha256": "\\([0-9a-f]*\\)".*/\\1/p' "$name.json")  $name" | sha256sum -c
sqlite3 "$name" 'PRAGMA integrity_check'`)}

\`key.txt\` is the file with the age identity, in the folder where you began. Both answers must be good: \`OK\`, and \`ok\`.
If one is not, go back to step 2 with the backup before.`;

function putInPlace({ databasePath, journalMode }: KitFacts): string {
  const wal = journalMode === null || journalMode === 'wal' ? `\nsqlite3 "$database" 'PRAGMA journal_mode = wal'` : '';
  return `## 4. Put it in place

Stop every program that uses the database. What is there is moved aside, its -wal and -shm with it: an old -wal beside
the new file would be replayed into it, and undo or damage what came back.

${shell(`database=${quoted(databasePath)}
mkdir -p "$(dirname "$database")"
before=$database.before-$(date +%s)
for end in '' -wal -shm -journal; do
  if [ -e "$database$end" ]; then mv "$database$end" "$before$end"; fi
done
cp "$name" "$database.new" && chmod 600 "$database.new" && mv "$database.new" "$database"${wal}
sqlite3 "$database" 'PRAGMA quick_check'`)}

Give the file to the user that the app runs as (\`chown\`), then start the app. Remove \`velist-recovery\` afterwards.`;
}

function newest({ here, targets, backupsPath }: KitFacts): string {
  const list = (names: readonly string[]) =>
    names.length === 0 ? '- none' : names.map((name) => `- ${name}`).join('\n');
  const there = targets.map(({ name, complaint, there: names }) => {
    const doubt =
      complaint === null ? '' : ` (it could not be asked just then: ${visibleLine(complaint)}; as it was known)`;
    return `\n\nOn ${targetWord(name)}${doubt}:\n\n${list(names)}`;
  });
  return `## The newest when this was written\n\nIn ${backupsPath}:\n\n${list(here)}${there.join('')}`;
}
