/** The words of setting up a bucket or a folder, and what is made of a form: addresses, lines for `.env`, rows of a test. */
import type { Finding, S3Place } from '../../http/contract.ts';

type Service = 'amazon' | 'wasabi' | 'r2' | 'b2' | 'minio' | 'other';

/** `asks`: the fields that it takes to know its address. */
export const services: Readonly<
  Record<
    Service,
    { readonly name: string; readonly needs: string; readonly asks: readonly ('region' | 'account' | 'address')[] }
  >
> = {
  amazon: { name: 'Amazon S3', needs: 'region is enough', asks: ['region'] },
  wasabi: { name: 'Wasabi', needs: 'region is enough', asks: ['region'] },
  r2: { name: 'Cloudflare R2', needs: 'account id', asks: ['account'] },
  b2: { name: 'Backblaze B2', needs: 'region is enough', asks: ['region'] },
  minio: { name: 'MinIO', needs: 'your own address', asks: ['address'] },
  other: { name: 'Another', needs: 'S3-compatible', asks: ['address', 'region'] },
};
export const serviceNames = Object.keys(services) as readonly Service[]; // its own keys

export const regionExamples: Readonly<Partial<Record<Service, string>>> = {
  ...{ amazon: 'eu-central-1', wasabi: 'eu-central-1', b2: 'eu-central-003', other: 'us-east-1' },
};

interface Where {
  readonly service: Service;
  readonly region: string;
  readonly account: string;
  readonly address: string;
  readonly bucket: string;
  readonly path: string;
}

/** What a form comes to, to be sent; empty fields are sent as they are, and the server says what is wrong with them. */
export function placeOf(where: Where): S3Place {
  const { service } = where;
  const [region, account, address, bucket] = [where.region, where.account, where.address, where.bucket].map((text) =>
    text.trim(),
  ) as [string, string, string, string]; // as many as were given
  const hosts: Readonly<Record<Service, string | null>> = {
    amazon: null,
    wasabi: `https://s3.${region}.wasabisys.com`,
    r2: `https://${account}.r2.cloudflarestorage.com`,
    b2: `https://s3.${region}.backblazeb2.com`,
    ...{ minio: typed(address), other: typed(address) },
  };
  const byAddress = service === 'r2' ? 'auto' : 'us-east-1';
  const isRegionAsked = services[service].asks.includes('region');
  return { bucket, path: where.path, region: isRegionAsked ? region : byAddress, endpoint: hosts[service] };
}

/** A server of one's own is written without its scheme as often as not. */
function typed(address: string): string {
  return address === '' || address.includes('://') ? address : `https://${address}`;
}

/** The form that would come to that place. */
export function whereOf(
  place: { readonly bucket: string; readonly region: string; readonly endpoint: string | null },
  path: string,
): Where {
  const { bucket, region, endpoint } = place;
  const base = { region, account: '', address: '', bucket, path };
  if (endpoint === null) return { ...base, service: 'amazon' };
  const account = /^https:\/\/([\w-]+)\.r2\.cloudflarestorage\.com$/.exec(endpoint)?.[1];
  if (account !== undefined) return { ...base, service: 'r2', account };
  for (const service of ['wasabi', 'b2'] as const)
    if (placeOf({ ...base, service }).endpoint === endpoint) return { ...base, service };
  return { ...base, service: 'other', address: endpoint };
}

/** Which field of the form a message about a setting belongs to. */
export function fieldOf(setting: string, service: Service): string {
  if (setting === 'endpoint' && !services[service].asks.includes('address'))
    return services[service].asks[0] ?? setting;
  return setting === 'endpoint' ? 'address' : setting;
}

/** What is copied once, instead of being kept on the server. */
export function envLines(
  { bucket, region, endpoint, path, lifecycleDays }: S3Place,
  { accessKey, secretKey }: { readonly accessKey: string; readonly secretKey: string },
): readonly string[] {
  return [
    'BACKUP_S3_ENABLED=true',
    `BACKUP_S3_PATH=${quoted(path)}`,
    `S3_BUCKET=${bucket}`,
    `S3_REGION=${region}`,
    ...(endpoint ? [`S3_ENDPOINT=${endpoint}`] : []),
    `S3_ACCESS_KEY=${quoted(accessKey)}`,
    `S3_SECRET_KEY=${quoted(secretKey)}`,
    ...(lifecycleDays ? ['BACKUP_S3_RETENTION=bucket', `BACKUP_S3_LIFECYCLE_DAYS=${lifecycleDays}`] : []),
  ];
}

/** Nothing in it means anything to a shell or to a reader of `.env`. */
function quoted(text: string): string {
  return /^[\w+/=.:@-]*$/.test(text) ? text : `'${text}'`;
}

interface TestRow {
  readonly title: string;
  /** The worst of its findings. */
  readonly result: Finding['result'];
  readonly findings: readonly Finding[];
  readonly ms: number;
}

const titles: readonly (readonly [string, readonly Finding['check'][]])[] = [
  ['Reach the address', ['reach']],
  ['Sign in with the key', ['sign-in']],
  ['Whose folder is it?', ['owner']],
  ['Write a small file and read it back', ['write', 'head', 'read']],
  ['List', ['list']],
  ['Closed to strangers', ['private']],
  ['Clocks', ['clock']],
  ['Refuse to overwrite', ['create-only', 'overwrite']],
  ['Large files, in parts', ['multipart', 'unfinished-uploads']],
  ['Versions of what is deleted', ['versions']],
  ['The rule of the bucket', ['lifecycle']],
  ['Speed', ['speed']],
  ['Delete the small files', ['delete', 'traces']],
];
const ranks: readonly Finding['result'][] = ['ok', 'warning', 'failed'];

/** The findings so far, one row for what belongs together, in the order in which they are asked. */
export function testRows(findings: readonly Finding[]): readonly TestRow[] {
  return titles.flatMap(([title, checks]) => {
    const own = findings.filter(({ check }) => checks.includes(check));
    if (own.length === 0) return [];
    const result = ranks[Math.max(...own.map((one) => ranks.indexOf(one.result)))] ?? 'ok';
    return [{ title, result, findings: own, ms: own.reduce((sum, { ms = 0 }) => sum + ms, 0) }];
  });
}

/** A failure of these is mended where the place is named, of the others where the key is. */
export function isAboutPlace({ check, message }: Finding): boolean {
  return (
    check === 'reach' ||
    check === 'owner' ||
    (check === 'sign-in' && /no bucket|does not exist|another region/.test(message))
  );
}
