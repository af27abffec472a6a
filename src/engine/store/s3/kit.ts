/** What the recovery kit says of a bucket: `curl` alone gets a backup out of it. */
import { shellWord as quoted } from '../../../words/visible-text.ts';
import { type KitNamed, type KitPart, type KitStep, plain, shell } from '../kit.ts';
import type { S3Access } from './access.ts';
import { connectS3 } from './connection.ts';

export const s3Kit: KitPart<S3Access> = {
  program: '`curl` 7.75 or newer',

  needs(targets) {
    const buckets = targets.map(({ access }) => access.bucket);
    const where = targets.some(({ name }) => name !== 's3')
      ? 'the app has them in its configuration'
      : 'the app has it in S3_ACCESS_KEY and\n  S3_SECRET_KEY, or in the credentials file beside its state';
    return [
      `- A key that may list and read the bucket ${buckets.join(', or ')}. It is not in this text: ${where}, and whoever owns
  the account can make a new one.`,
    ];
  },

  fetching: fromS3,

  stream({ access: { bucket, region, endpoint = null }, prefix }) {
    const at = endpoint === null ? '' : ` --endpoint-url ${quoted(endpoint)}`;
    const path = `${prefix}/continuous`;
    const place = [`type: s3`, `bucket: ${bucket}`, `path: ${JSON.stringify(path)}`, `region: ${region}`];
    const server = endpoint === null ? [] : [`endpoint: ${JSON.stringify(endpoint)}`, 'force-path-style: true'];
    return {
      copying: `aws s3 sync${at} --region ${region} ${quoted(`s3://${bucket}/${path}`)} continuous`,
      level: '000',
      replica: `{ ${[...place, ...server].join(', ')} }`,
    };
  },

  otherClients: (targets) => `Any S3 client will do instead of curl. With the key in the same two variables:

${targets.map(otherClient).join('\n\n')}`,
};

/** The query is sorted and encoded as it is signed, because older versions of curl sign it as it stands. */
function fromS3({ access, prefix }: KitNamed<S3Access>, { heading, isSealed, isOurs }: KitStep): string {
  const { region, bucket } = access;
  const { baseUrl } = connectS3({ ...access, prefix });
  const encoded = encodeURIComponent(`${prefix}/`);
  const folder = `${baseUrl}/${prefix.split('/').map(encodeURIComponent).join('/')}`;
  return `${heading}

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
    !isSealed ? '' : ', and is encrypted, as copies\nthere are now (one from before then anybody could have put there)'
  }. For another one, set
\`name\` by hand, without .json, and fetch that manifest:

${shell(`name=
for manifest in $(grep '\\.json$' names.txt | sort -r); do
  from_s3 ${quoted(`${folder}/`)}"$manifest" "$manifest" 1048576 || continue
  if ! grep -q '"trigger": "safety"' "$manifest" && grep -q '"complaint": null' "$manifest"${isOurs}${
    !isSealed ? '' : ` &&\n    grep -q '"encryption": "age"' "$manifest"`
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

function otherClient({ prefix, access: { bucket, region, endpoint = null } }: KitNamed<S3Access>): string {
  const at = endpoint === null ? '' : ` --endpoint-url ${quoted(endpoint)}`;
  const remote = `:s3,provider=${endpoint === null ? 'AWS' : 'Other'},env_auth=true,region=${region}${endpoint === null ? '' : `,endpoint="${endpoint}"`}:${bucket}/${prefix}`;
  return plain(`aws s3 ls${at} --region ${region} ${quoted(`s3://${bucket}/${prefix}/`)}
aws s3 cp${at} --region ${region} ${quoted(`s3://${bucket}/${prefix}/`)}"$file" .

rclone lsf ${quoted(remote)}
rclone copy ${quoted(remote)}/"$file" .`);
}
