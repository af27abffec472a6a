/** Sealing and unsealing, against damage, wrong keys and the stock programs, on Bun and on Node. */
import { expect, test } from 'bun:test';
import { generateHybridIdentity, generateIdentity, identityToRecipient } from 'age-encryption';
import { createHash } from 'node:crypto';
import { opensWithStockPrograms } from '../../../tests/support/stock-programs.ts';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { parseIdentities, parseRecipients } from './age.ts';
import {
  artifactName,
  formOf,
  formOfSeal,
  PLAIN,
  seal,
  sealedBytesMax,
  sealName,
  sealOf,
  type Sealing,
  unseal,
} from './seal.ts';

const MIB = 1024 * 1024;
const newFolder = scratchFolders();
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);
const otherIdentity = await generateIdentity();
const otherRecipient = await identityToRecipient(otherIdentity);
const hybridIdentity = await generateHybridIdentity();

const sealings: readonly Sealing[] = [
  PLAIN,
  { compression: 'zstd', recipients: [] },
  { compression: 'none', recipients: [recipient] },
  { compression: 'zstd', recipients: [recipient] },
];
const sealed = sealings.slice(1);
const both = sealings[3] ?? PLAIN;
const nameOf = (sealing: Sealing) => sealName(sealOf(sealing));

/** Bytes that compress to about a half, the same for the same seed. */
function bytes(size: number, seed = 1): Buffer {
  const out = Buffer.alloc(size);
  for (let at = 0, state = seed; at < size; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    out[at] = state % 97 === 0 ? state >>> 24 : (state >>> 28) & 15;
  }
  out.write('SQLite format 3\0');
  return out;
}

async function* chunksOf(content: Uint8Array, size = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream));
}

const sealBytes = (content: Uint8Array, sealing: Sealing) => collect(seal(chunksOf(content), sealing));
const openBytes = (content: Uint8Array, sealing: Sealing, identities = [identity]) =>
  collect(unseal(chunksOf(content), sealOf(sealing), identities));

test.each(sealings.map((sealing) => [nameOf(sealing), sealing] as const))(
  'what was sealed with %s comes back, whatever its size and the size of its chunks',
  async (_name, sealing) => {
    for (const [size, chunk] of [
      [0, 1],
      [1, 1],
      [65_535, 4096],
      [65_536, 7],
      [65_537, 65_536],
      [3_000_001, 1_000_000],
    ] as const) {
      const content = size < 16 ? Buffer.alloc(size, 7) : bytes(size);
      const artifact = await collect(seal(chunksOf(content, chunk), sealing));
      expect(artifact.length).toBeLessThanOrEqual(sealedBytesMax(size, sealing));
      for (const cut of [artifact.length, 1001, 70_000]) {
        const back = await collect(unseal(chunksOf(artifact, cut), sealOf(sealing), [identity]));
        expect(back.equals(content)).toBe(true);
      }
    }
  },
  60_000,
);

test('the bound for the size holds for what does not compress', async () => {
  const noise = Buffer.alloc(2 * MIB);
  crypto.getRandomValues(noise.subarray(0, 65_536));
  for (let at = 65_536; at < noise.length; at += 64) noise.set(createHash('sha512').update(`${at}`).digest(), at);
  const recipients = [await identityToRecipient(hybridIdentity)];
  for (const sealing of [...sealings, { compression: 'zstd', recipients } as const]) {
    const { length } = await sealBytes(noise, sealing);
    expect(length).toBeLessThanOrEqual(sealedBytesMax(noise.length, sealing));
    if (sealing !== PLAIN) expect(length).toBeGreaterThan(noise.length);
  }
});

test('the first bytes say what an artifact is, and its name says it too', async () => {
  const content = bytes(5000);
  const forms = await Promise.all(
    sealings.map(async (sealing) => {
      const artifact = await sealBytes(content, sealing);
      expect(formOfSeal(sealOf(sealing))).toBe(formOf(artifact));
      return [nameOf(sealing), formOf(artifact), artifactName('backup.sqlite', sealing)];
    }),
  );
  expect(forms).toEqual([
    ['plain', 'sqlite', 'backup.sqlite'],
    ['zstd', 'zstd', 'backup.sqlite.zst'],
    ['age', 'age', 'backup.sqlite.age'],
    ['zstd+age', 'age', 'backup.sqlite.zst.age'],
  ]);
  for (const other of ['', 'SQLite', 'age-encryption.org/v2\n', '<?xml version="1.0"?>'])
    expect(formOf(Buffer.from(other))).toBe('unknown');
});

test('any one of several recipients opens it, post-quantum ones too', async () => {
  const content = bytes(200_000);
  const two = await sealBytes(content, { compression: 'zstd', recipients: [recipient, otherRecipient] });
  for (const identities of [[identity], [otherIdentity], [hybridIdentity, otherIdentity]])
    expect((await openBytes(two, both, identities)).equals(content)).toBe(true);
  const hybrid = await sealBytes(content, {
    compression: 'none',
    recipients: [await identityToRecipient(hybridIdentity)],
  });
  expect(
    (await openBytes(hybrid, { compression: 'none', recipients: ['age1'] }, [hybridIdentity])).equals(content),
  ).toBe(true);
});

test('two artifacts of the same bytes have nothing in common behind the first line', async () => {
  const content = bytes(100_000);
  const [one, two] = [await sealBytes(content, both), await sealBytes(content, both)];
  const keyLine = (artifact: Buffer) => artifact.toString('latin1').split('\n')[1];
  expect(keyLine(one)).not.toBe(keyLine(two));
});

test('without an identity, or with another, it is refused with a hint at --identity; no key is printed', async () => {
  const artifact = await sealBytes(bytes(100_000), both);
  for (const identities of [[], [otherIdentity], [hybridIdentity]]) {
    const error = await refusal(() => openBytes(artifact, both, identities));
    expect(error.code).toBe('BAD_REQUEST');
    expect(error.hint).toContain('--identity FILE');
    expect(JSON.stringify([error, error.message, error.stack, String(error.cause)])).not.toMatch(/SECRET-KEY-(PQ-)?1/);
  }
});

test.each(sealed.map((sealing) => [nameOf(sealing), sealing] as const))(
  'an artifact with %s that was cut, changed, continued or emptied is refused',
  async (_name, sealing) => {
    const content = bytes(400_000);
    const artifact = await sealBytes(content, sealing);
    const damaged: Record<string, Uint8Array> = {
      empty: Buffer.alloc(0),
      other: content,
      'no line': Buffer.alloc(3 * MIB, 1),
    };
    for (const length of [1, 3, 4, 5, 10, 100, 70_000, artifact.length >> 1, artifact.length - 4, artifact.length - 1])
      if (length < artifact.length) damaged[`cut to ${length}`] = artifact.subarray(0, length);
    damaged['continued'] = Buffer.concat([artifact, Buffer.from('more')]);
    for (const at of [artifact.length >> 2, artifact.length >> 1, artifact.length - 2]) {
      const flipped = Buffer.from(artifact);
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      damaged[`changed at ${at}`] = flipped;
    }
    for (const [what, broken] of Object.entries(damaged)) {
      const { code, hint } = await refusal(() => openBytes(broken, sealing));
      expect([what, code, hint]).toEqual([what, 'VERIFY_FAILED', expect.stringContaining('use another backup')]);
    }
  },
);

test('every cut of a small compressed artifact is noticed, and every frame of several is read', async () => {
  const zstd = sealings[1] ?? PLAIN;
  const content = bytes(2000);
  const artifact = await sealBytes(content, zstd);
  for (let length = 0; length < artifact.length; length++)
    expect((await refusal(() => openBytes(artifact.subarray(0, length), zstd))).code).toBe('VERIFY_FAILED');
  const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const three = Buffer.concat([artifact, skippable, artifact]);
  expect((await openBytes(three, zstd)).equals(Buffer.concat([content, content]))).toBe(true);
});

test.each(sealings.map((sealing) => [nameOf(sealing), sealing] as const))(
  'an error of the source passes through %s unchanged, on both ways',
  async (_name, sealing) => {
    const fault = new Error('the disk is gone');
    const artifact = await sealBytes(bytes(400_000), sealing);
    async function* failing(content: Uint8Array, after: number) {
      yield* chunksOf(content.subarray(0, after));
      throw fault;
    }
    for (const after of [0, 10, 300_000]) {
      await expect(collect(seal(failing(artifact, after), sealing))).rejects.toBe(fault);
      await expect(collect(unseal(failing(artifact, after), sealOf(sealing), [identity]))).rejects.toBe(fault);
    }
  },
);

test.each(sealed.map((sealing) => [nameOf(sealing), sealing] as const))(
  'who leaves %s early ends the source',
  async (_name, sealing) => {
    const content = bytes(8 * MIB);
    const artifact = await sealBytes(content, sealing);
    for (const way of [
      (source: AsyncIterable<Uint8Array>) => seal(source, sealing),
      (source: AsyncIterable<Uint8Array>) => unseal(source, sealOf(sealing), [identity]),
    ]) {
      let state = 'new';
      async function* watched(given: Uint8Array) {
        state = 'open';
        try {
          yield* chunksOf(given, 65_536);
          state = 'read to its end';
        } finally {
          if (state === 'open') state = 'closed';
        }
      }
      let taken = 0;
      for await (const chunk of way(watched(artifact))) {
        taken += chunk.length;
        if (taken > 1000) break;
      }
      expect(state).toBe('closed');
    }
  },
);

test('a source that uses one chunk again and again is sealed right', async () => {
  const content = bytes(2 * MIB);
  for (const sealing of sealings.slice(1)) {
    async function* reusing(given: Uint8Array) {
      const chunk = Buffer.alloc(50_000);
      for (let at = 0; at < given.length; at += chunk.length) {
        const length = Math.min(chunk.length, given.length - at);
        chunk.set(given.subarray(at, at + length));
        yield chunk.subarray(0, length);
      }
      chunk.fill(0);
    }
    const artifact = await collect(seal(reusing(content), sealing));
    const back = await collect(unseal(reusing(artifact), sealOf(sealing), [identity]));
    expect(back.equals(content)).toBe(true);
  }
});

test('stock age and zstd open what was sealed', async () => {
  const content = bytes(3 * MIB);
  for (const sealing of sealed) {
    const artifact = await sealBytes(content, sealing);
    const opened = await opensWithStockPrograms(artifact, { sealing: sealOf(sealing), identity, folder: newFolder() });
    if (opened !== null) expect([nameOf(sealing), opened.equals(content)]).toEqual([nameOf(sealing), true]);
  }
});

test('recipients are separated by commas or blanks, each is checked, and each counts once', async () => {
  expect(parseRecipients(` ${recipient},${otherRecipient}\n${recipient} `)).toEqual([recipient, otherRecipient]);
  const hybrid = await identityToRecipient(hybridIdentity);
  expect(parseRecipients(hybrid)).toEqual([hybrid]);
  const wrong: [string, RegExp][] = [
    [',', /names no age public key/],
    [`${recipient} ${recipient.slice(0, -1)}`, /^entry 2 of 2 \(age1.{8}…\) is not an age public key/],
    ['ssh-ed25519', /^it is not an age public key/],
    ['age1yubikey1qtqjvcjzu8ek', /is not an age public key/],
    [`${hybrid} ${recipient}`, /cannot be mixed/],
  ];
  for (const [text, message] of wrong) {
    const error = await refusal(() => parseRecipients(text));
    expect([error.code, error.message]).toEqual(['BAD_CONFIG', expect.stringMatching(message)]);
  }
});

test('a private key given as a recipient is refused and never printed', async () => {
  const half = identity.slice(0, 40);
  for (const text of [identity, identity.toLowerCase(), `${recipient},${identity}`, half, hybridIdentity]) {
    const error = await refusal(() => parseRecipients(text));
    expect(error.message).toContain('is a private key; it must never be on this server');
    expect(JSON.stringify([error, error.message, error.stack, String(error.cause)])).not.toContain(
      identity.slice(20, 30),
    );
  }
  for (const from of [3, 5, 16])
    expect((await refusal(() => parseRecipients(identity.slice(from)))).message).not.toContain(identity.slice(20, 30));
});

test('a header that never ends is refused at its limit, in however small pieces it comes', async () => {
  for (const start of ['age-encryption.org/v1\n-> X25519 ', 'age-encryption.org/v1\n--- ']) {
    let sent = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(start);
      for (; sent < 3 * MIB; sent++) yield Buffer.from('A');
    }
    const opened = () => collect(unseal(endless(), { compression: 'none', encryption: 'age' }, [identity]));
    expect((await refusal(opened)).code).toBe('VERIFY_FAILED');
    expect(sent).toBeLessThan(1.1 * MIB);
  }
});

test('an identity file is read as age-keygen writes it; what is none is refused and not printed', async () => {
  const file = `# created: 2024-01-15T10:30:00Z\n# public key: ${recipient}\r\n${identity}\n\n${otherIdentity}\n`;
  expect(parseIdentities(file)).toEqual([identity, otherIdentity]);
  for (const [text, message] of [
    ['# nothing\n', 'is empty'],
    [recipient, 'holds a public key'],
    [identity.slice(0, -1), 'is not an age private key'],
    ['hunter2', 'is not an age private key'],
    ['AGE-PLUGIN-YUBIKEY-1QQQ', 'only the age program can use'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----', 'only the age program can use'],
    ['age-encryption.org/v1\n-> scrypt', 'is itself encrypted'],
  ] as const) {
    const error = await refusal(() => parseIdentities(text));
    expect([error.code, error.message]).toEqual(['BAD_REQUEST', expect.stringContaining(message)]);
    expect(JSON.stringify([error, error.message, String(error.cause)])).not.toMatch(/hunter2|SECRET-KEY-1\w/);
  }
});
