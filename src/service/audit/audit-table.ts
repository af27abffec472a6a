/** The table of the audit record in the state database, with the triggers that keep it append-only. */

export type AuditKind = 'act' | 'retention' | 'refusal';
/** The newest so many of each kind, for each database: what one has recorded pushes out nothing of another. */
export const AUDIT_KEPT: Readonly<Record<AuditKind, number>> = { act: 20_000, retention: 20_000, refusal: 5_000 };

export const auditTable = `
  CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, folder TEXT, kind TEXT NOT NULL, at INTEGER NOT NULL, act TEXT NOT NULL, user TEXT,
    via TEXT NOT NULL, address TEXT, agent TEXT, subject TEXT, target TEXT, result TEXT NOT NULL, code TEXT, detail TEXT
  );
  CREATE INDEX IF NOT EXISTS audit_by_kind ON audit (kind, folder, id);
  CREATE TRIGGER IF NOT EXISTS audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END;
  ${Object.entries(AUDIT_KEPT)
    .map(
      ([kind, kept]) => `CREATE TRIGGER IF NOT EXISTS audit_keeps_${kind} BEFORE DELETE ON audit
    WHEN old.kind = '${kind}' AND
      (SELECT count(*) FROM (SELECT 1 FROM audit WHERE kind = old.kind AND folder IS old.folder AND id > old.id LIMIT ${kept})) < ${kept}
    BEGIN SELECT RAISE(ABORT, 'the audit record is append-only'); END;`,
    )
    .join('\n  ')}
`;
