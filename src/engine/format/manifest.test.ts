import { expect, test } from 'bun:test';
import { manifestOf, refusal } from '../../../tests/support/scratch.ts';
import { backupMoment, isBackupName, nameBackup } from './names.ts';
import { formatManifest, parseManifest } from './manifest.ts';

const at = new Date('2024-01-15T10:30:00.000Z');
const manifest = manifestOf(at);

test('a name is the moment in UTC, and reads back as that moment', () => {
  expect(nameBackup(at)).toBe('backup-2024-01-15T10-30-00-000Z.sqlite');
  expect(backupMoment(nameBackup(at))).toEqual(at);
});

test('what only resembles a name is none', () => {
  for (const name of [
    '',
    'backup-2024-01-15T10-30-00-000Z.sqlite.json',
    'backup-2024-01-15T10-30-00-000Z.sqlite\n',
    ' backup-2024-01-15T10-30-00-000Z.sqlite',
    'Backup-2024-01-15T10-30-00-000Z.sqlite',
    'backup-2024-02-31T10-30-00-000Z.sqlite',
    'backup-2024-01-15T24-30-00-000Z.sqlite',
    'backup-2024-01-15T10-30-61-000Z.sqlite',
    '../backup-2024-01-15T10-30-00-000Z.sqlite',
    'backup-2024-01-15T10-30-00-000Z.sqlite/..',
    'backup-٢٠٢٤-01-15T10-30-00-000Z.sqlite',
  ]) {
    expect([name, isBackupName(name)]).toEqual([name, false]);
  }
});

test('a manifest reads back as it was written', () => {
  expect(parseManifest(formatManifest(manifest), manifest.name)).toEqual(manifest);
});

test('a manifest that lies, lacks a field or is none is refused and says what is wrong', async () => {
  const faults: [text: string, complaint: string][] = [
    ['', 'is not JSON'],
    ['{"format": "velist-ba', 'is not JSON'],
    ['null', 'unreadable'],
    [formatManifest({ ...manifest, name: 'backup-2030-01-01T00-00-00-000Z.sqlite' }), 'names another backup'],
    [JSON.stringify({ ...manifest, format: 'velist-backup/2' }), 'format'],
    [JSON.stringify({ ...manifest, sequence: 0 }), 'sequence'],
    [JSON.stringify({ ...manifest, createdAt: 'yesterday' }), 'createdAt'],
    [JSON.stringify({ ...manifest, artifact: { ...manifest.artifact, sizeBytes: -1 } }), 'artifact.sizeBytes'],
    [JSON.stringify({ ...manifest, artifact: { ...manifest.artifact, sha256: 'abc' } }), 'artifact.sha256'],
    [JSON.stringify({ ...manifest, artifact: { ...manifest.artifact, encryption: 'rot13' } }), 'artifact.encryption'],
    [JSON.stringify({ ...manifest, artifact: { ...manifest.artifact, encryption: 'age' } }), 'artifact.file'],
    [JSON.stringify({ ...manifest, artifact: { ...manifest.artifact, file: '../app.sqlite' } }), 'artifact.file'],
    [JSON.stringify({ ...manifest, pinned: 'yes' }), 'pinned'],
  ];
  for (const [text, complaint] of faults) {
    const error = await refusal(() => parseManifest(text, manifest.name));
    expect(error.code).toBe('BAD_BACKUP');
    expect(error.message).toContain(complaint);
  }
});
