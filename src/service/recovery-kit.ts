/**
 * One text that gets the data back when this program is gone: by `curl`, `sqlite3`, `zstd`, `age` and a shell, with the
 * true values of this setup and no secret in it. Its commands are for a POSIX shell and follow each other in one; the
 * test `recovery-kit.test.ts` runs them as they stand.
 *
 * What the bucket says is believed by nobody: names are taken in our own forms alone, because they become files here, and
 * nothing grows beyond the size that was announced.
 */
import { shellWord as quoted, visibleLine } from '../engine/visible-text.ts';

export interface KitFacts {
  readonly writtenAt: Date;
  readonly version: string;
  /** Absolute. */
  readonly databasePath: string;
  /** Absolute. */
  readonly backupsPath: string;
  /** How its manifests name the database: ids, and names where a manifest bears no id. Others may lie beside it. */
  readonly ids?: readonly string[];
  readonly names?: readonly string[];
  /** Of the newest backup; null when that is not known. */
  readonly journalMode: string | null;
  /** In the order in which they are to be tried. */
  readonly targets: readonly KitS3[];
  /** Names of the newest here, newest first. */
  readonly here: readonly string[];
}

export interface KitS3 {
  /** `s3`, or as its owner calls it. */
  readonly name: string;
  readonly bucket: string;
  readonly region: string;
  /** Null: Amazon's. */
  readonly endpoint: string | null;
  /** Begins every address of an object, without a slash at its end. */
  readonly baseUrl: string;
  readonly prefix: string;
  readonly sealing: { readonly compression: 'none' | 'zstd'; readonly recipients: readonly string[] };
  /** Where the newest copies are, newest first. */
  readonly there: readonly string[];
  /** Why they could not be listed. */
  readonly complaint: string | null;
}

export function recoveryKit(facts: KitFacts): string {
  const { targets, databasePath, writtenAt, version } = facts;
  const parts = [
    `# Recovery kit of ${databasePath}`,
    `Written ${writtenAt.toISOString()} by velist-backup ${version}. It gets the database back without that program. Write it anew
when the bucket, the prefix or the keys change: velist-backup kit --output FILE`,
    needed(facts),
    `## 1. Begin

Run all commands in one shell, in this order. They change nothing before step 4.

${shell(`umask 077
mkdir -p velist-recovery && cd velist-recovery`)}`,
    ...targets.map((target, index) => fromS3(target, facts, { number: `2${letter(index)}`, isFirst: index === 0 })),
    fromFolder(facts),
    open,
    putInPlace(facts),
    ...(targets.length > 0 ? [otherClients(targets)] : []),
    newest(facts),
  ];
  return `${parts.join('\n\n')}\n`;
}

const letter = (index: number) => String.fromCharCode('a'.charCodeAt(0) + index);

function needed({ targets }: KitFacts): string {
  const lines = ['## What is needed', '', '- `sqlite3` and `sha256sum` (Debian: packages sqlite3, coreutils).'];
  if (targets.length === 0) return lines.join('\n');
  const buckets = targets.map(({ bucket }) => bucket);
  const where = targets.some(({ name }) => name !== 's3')
    ? 'the app has them in its configuration'
    : 'the app has it in S3_ACCESS_KEY and\n  S3_SECRET_KEY';
  lines.push(
    '- `curl` 7.75 or newer; `zstd` for files that end in .zst, `age` for files that end in .age (packages of the same names).',
    `- A key that may list and read the bucket ${buckets.join(', or ')}. It is not in this text: ${where}, and whoever owns
  the account can make a new one.`,
  );
  const sealed = targets.filter(({ sealing }) => sealing.recipients.length > 0);
  for (const { name, sealing } of sealed) {
    lines.push(
      `- For the copies on ${name === 's3' ? 'S3' : name}: the age identity (private key) of one of these recipients. It is not in this
  text and not on the server; **without it nobody can open those copies**. Keep it apart from this text and from the
  bucket, in two places:
${sealing.recipients.map((recipient) => `  - ${recipient}`).join('\n')}`,
    );
  }
  if (sealed.length > 1) lines.push('- `key.txt` may hold several identities, one a line.');
  return lines.join('\n');
}

/** The query is sorted and encoded as it is signed, because older versions of curl sign it as it stands. */
function fromS3(
  { name, baseUrl, prefix, region, bucket, sealing: { recipients } }: KitS3,
  facts: KitFacts,
  { number, isFirst }: { readonly number: string; readonly isFirst: boolean },
): string {
  const encoded = encodeURIComponent(`${prefix}/`);
  const folder = `${baseUrl}/${prefix.split('/').map(encodeURIComponent).join('/')}`;
  return `## ${number}. ${isFirst ? 'Get' : 'Or get'} the backup from ${name === 's3' ? 'S3' : name}

Bucket ${bucket}, prefix ${prefix}, region ${region}. First the key, in place of the dots:

${plain(`export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…`)}

${shell(`from_s3() (
  ulimit -f $(($3 / 512 + 1))
  printf 'user = "%s:%s"\\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" |
    curl --silent --show-error --fail --config - --aws-sigv4 ${quoted(`aws:amz:${region}:s3`)} \\
      --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --max-filesize "$3" --output "$2" "$1"
)`)}

Its third argument is the most bytes that it takes.

What is there. Names begin with the moment of the backup, in UTC, so that the last one is the newest:

${shell(`after=; pages=0; : > names.txt
while from_s3 ${quoted(`${baseUrl}?list-type=2&prefix=${encoded}backup-&start-after=`)}"$after" page.xml 8388608; do
  grep -o '[>/]backup-[0-9T-]*Z\\.sqlite[a-z.]*</Key>' page.xml | sed 's,^.,,; s,</Key>,,' > page.txt
  last=${quoted(encoded)}$(tail -n 1 page.txt); pages=$((pages + 1))
  if [ ! -s page.txt ] || [ "$last" = "$after" ] || [ $pages -gt 1000 ]; then break; fi
  cat page.txt >> names.txt; after=$last
done
grep '\\.json$' names.txt | sort | tail -n 20`)}

The newest of this database that is no safety copy (which holds what a restore replaced) and passed its check${
    recipients.length === 0
      ? ''
      : ', and is encrypted, as copies\nthere are now (one from before then anybody could have put there)'
  }. For another one, set
\`name\` by hand, without .json, and fetch that manifest:

${shell(`name=
for manifest in $(grep '\\.json$' names.txt | sort -r); do
  from_s3 ${quoted(`${folder}/`)}"$manifest" "$manifest" 1048576 || continue
  if ! grep -q '"trigger": "safety"' "$manifest" && grep -q '"complaint": null' "$manifest"${isOurs(facts)}${
    recipients.length === 0 ? '' : ` &&\n    grep -q '"encryption": "age"' "$manifest"`
  }; then
    name=\${manifest%.json}; break
  fi
done
echo "\${name:-None of them will do; look through names.txt}"`)}

Its file, and whether it is what was stored (the digest is in the manifest):

${shell(`file=$(sed -n '/"artifact"/,/}/s/^ *"file": "\\(.*\\)",*$/\\1/p' "$name.json")
size=$(sed -n '/"artifact"/,/}/s/^ *"sizeBytes": \\([0-9]\\{1,15\\}\\),*$/\\1/p' "$name.json")
case "$file" in
  "$name" | "$name.zst" | "$name.age" | "$name.zst.age") from_s3 ${quoted(`${folder}/`)}"$file" "$file" "$size" ;;
  *) echo "$name.json names a file that is none of this backup: take another one"; file=none ;;
esac
echo "$(sed -n '/"artifact"/,/}/s/.*"sha256": "\\([0-9a-f]*\\)".*/\\1/p' "$name.json")  $file" | sha256sum -c`)}`;
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

function otherClients(targets: readonly KitS3[]): string {
  return `## Other clients

Any S3 client will do instead of curl. With the key in the same two variables:

${targets.map(otherClient).join('\n\n')}`;
}

function otherClient({ bucket, prefix, region, endpoint }: KitS3): string {
  const at = endpoint === null ? '' : ` --endpoint-url ${quoted(endpoint)}`;
  const remote = `:s3,provider=${endpoint === null ? 'AWS' : 'Other'},env_auth=true,region=${region}${endpoint === null ? '' : `,endpoint="${endpoint}"`}:${bucket}/${prefix}`;
  return plain(`aws s3 ls${at} --region ${region} ${quoted(`s3://${bucket}/${prefix}/`)}
aws s3 cp${at} --region ${region} ${quoted(`s3://${bucket}/${prefix}/`)}"$file" .

rclone lsf ${quoted(remote)}
rclone copy ${quoted(remote)}/"$file" .`);
}

function newest({ here, targets, backupsPath }: KitFacts): string {
  const list = (names: readonly string[]) =>
    names.length === 0 ? '- none' : names.map((name) => `- ${name}`).join('\n');
  const there = targets.map(({ name, complaint, there: names }) => {
    const doubt =
      complaint === null ? '' : ` (it could not be asked just then: ${visibleLine(complaint)}; as it was known)`;
    return `\n\nOn ${name === 's3' ? 'S3' : name}${doubt}:\n\n${list(names)}`;
  });
  return `## The newest when this was written\n\nIn ${backupsPath}:\n\n${list(here)}${there.join('')}`;
}

/** What is run as it stands. */
function shell(commands: string): string {
  return `\`\`\`sh\n${commands}\n\`\`\``;
}

/** What is read, or filled in first. */
function plain(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
