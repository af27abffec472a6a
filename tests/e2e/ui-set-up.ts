/** The answers of the fixture to a page that sets something up: a test tells its findings one by one, and nothing is stored. */
import type { Finding, PlannedSetUp, S3Place, SetUp, ShownSetUp, TargetReport } from '../../src/http/contract.ts';
import { leastPrivilegePolicy } from '../../src/engine/store/s3/policy.ts';

export interface SetUpScene {
  /** How a test ends; it passes with a warning, if not given. */
  readonly fails?: 'bucket' | 'key';
  readonly s3?: ShownSetUp['s3']['setBy'];
  /** Why a bucket that the page set up is not in use. */
  readonly complaint?: string;
  /** Nobody may set anything up. */
  readonly isForbidden?: boolean;
}

const ok = (check: Finding['check'], message: string, ms: number): Finding => ({
  check,
  result: 'ok',
  message,
  hint: null,
  ms,
});

const passing: readonly Finding[] = [
  ok('reach', 's3.eu-central-1.wasabisys.com answers, and its certificate is good', 38),
  ok('sign-in', 'the key is accepted, and the bucket is there', 0),
  ok('owner', 'it is empty, and will belong to dev.sqlite', 24),
  ok('write', 'a test object was written', 48),
  ok('head', 'its size can be read, and a missing object is reported as missing', 20),
  ok('read', 'it was read back, whole and in part', 36),
  ok('list', 'objects can be listed', 22),
  ok('private', 'strangers may neither read nor write', 61),
  ok('clock', 'the clocks agree', 18),
  {
    ...{ check: 'create-only', result: 'warning', ms: 47 },
    message: 'the server ignores the condition of a create-only write (If-None-Match)',
    hint: 'Give every machine a prefix of its own (BACKUP_S3_PATH); then this does not matter.',
  },
  ok('multipart', 'large backups can be uploaded in parts', 92),
  ok('speed', 'it takes 11.8 MB a second', 178),
  ok('delete', 'all test objects were deleted', 31),
];
const failing: Readonly<Record<'bucket' | 'key', readonly Finding[]>> = {
  bucket: [
    ...passing.slice(0, 1),
    {
      ...{ check: 'sign-in', result: 'failed', ms: 0 },
      message: 'the key does not open this bucket: there is no bucket "my-backups" at s3.eu-central-1.wasabisys.com',
      hint: 'Create it, or check the region.',
    },
  ],
  key: [
    ...passing.slice(0, 1),
    {
      ...{ check: 'sign-in', result: 'failed', ms: 0 },
      message: 'the key does not open this bucket: the secret key does not belong to the access key',
      hint: 'Copy both anew.',
    },
  ],
};

export class FixtureSetUps {
  readonly #scene: SetUpScene;
  readonly #onChange: () => void;
  readonly #set = new Map<SetUp['part'], string>();

  constructor(scene: SetUpScene, onChange: () => void) {
    this.#scene = scene;
    this.#onChange = onChange;
    if (scene.s3) this.#set.set('s3', 's3://my-backups/shop/dev');
  }

  get notifies(): boolean {
    return this.#set.has('webhook') || this.#set.has('heartbeat');
  }

  async answer(request: Request, path: string): Promise<Response | undefined> {
    if (!path.startsWith('api/set-up')) return undefined;
    if (this.#scene.isForbidden) return refusal(403, 'FORBIDDEN', 'this is not allowed for you', 'Sign in.');
    if (request.method === 'GET') return Response.json(this.#shown());
    if (request.method === 'DELETE') {
      this.#set.delete(path.split('/').at(-1) as SetUp['part']); // as the page asked
      this.#onChange();
      return Response.json({ success: true });
    }
    if (path === 'api/set-up/plan') return plan((await request.json()) as S3Place);
    const given = (await request.json()) as SetUp;
    const findings = this.#findingsOf(given);
    const report = reportOf(given.part, findings);
    if (path === 'api/set-up/test') return told(findings, report);
    if (report.ok) {
      this.#set.set(given.part, 'url' in given ? `${new URL(given.url).origin}/…` : `s3://my-backups/${given.path}`);
      this.#onChange();
    }
    return Response.json(report);
  }

  #findingsOf(given: SetUp): readonly Finding[] {
    const { fails } = this.#scene;
    if (!('url' in given)) return fails ? failing[fails] : passing;
    if (!fails) return [ok('answer', 'it answered 200', 84)];
    const hint = 'Look whether the address is complete, and whether this server may reach it.';
    return [{ check: 'answer', result: 'failed', message: 'it answered 404', ms: 84, hint }];
  }

  #shown(): ShownSetUp {
    const part = (name: SetUp['part'], variable: string) => {
      const where = this.#set.get(name) ?? null;
      const setBy = name === 's3' && this.#scene.s3 ? this.#scene.s3 : 'page';
      const complaint = (name === 's3' && this.#scene.complaint) || null;
      return { setBy: where === null ? null : setBy, variable, where: complaint === null ? where : null, complaint };
    };
    return {
      s3: part('s3', 'S3_BUCKET'),
      folder: part('folder', 'BACKUP_FOLDER_PATH'),
      webhook: part('webhook', 'BACKUP_WEBHOOK_URL'),
      heartbeat: part('heartbeat', 'BACKUP_HEARTBEAT_URL'),
      bucket: null,
      s3Path: 'shop/dev',
      file: { path: './storage/velist-backup.credentials.json', complaint: null },
    };
  }
}

function plan({ bucket, endpoint, path }: S3Place): Response {
  if (bucket === '') {
    const fields = { bucket: 'the name of the bucket alone' };
    return Response.json(
      { error: { code: 'BAD_CONFIG', message: 'bucket: is wrong', hint: 'Correct it.', fields } },
      { status: 422 },
    );
  }
  const { host, protocol } = new URL(endpoint ?? 'https://s3.amazonaws.com');
  const policy = leastPrivilegePolicy({ bucket, prefix: path }) as PlannedSetUp['policy']; // a document of that form
  return Response.json({ where: `s3://${bucket}/${path}`, host, isPlain: protocol === 'http:', policy });
}

function reportOf(part: string, findings: readonly Finding[]): TargetReport {
  const isGood = findings.every(({ result }) => result !== 'failed');
  const ms = findings.reduce((sum, finding) => sum + (finding.ms ?? 0), 0);
  return { target: part, place: 'bucket "my-backups"', ok: isGood, ms, findings: [...findings], policy: null };
}

/** In lines, each a chunk of its own. */
function told(findings: readonly Finding[], report: TargetReport): Response {
  const text = new TextEncoder();
  const lines = [...findings.map((finding) => ({ finding })), { report }];
  const body = new ReadableStream({
    pull(controller) {
      const line = lines.shift();
      if (line) controller.enqueue(text.encode(`${JSON.stringify(line)}\n`));
      else controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
}

function refusal(status: number, code: string, message: string, hint: string): Response {
  return Response.json({ error: { code, message, hint } }, { status });
}
