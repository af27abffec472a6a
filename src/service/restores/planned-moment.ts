/** A captured moment that was brought back as a file, as the plan of its restore describes it. */
import { statSync } from 'node:fs';
import type { MomentSource } from '../continuous/moment-source.ts';
import type { PlannedSource } from './restore-plan.ts';
import type { RestorePlan } from './restore-result.ts';

export interface PlannedFile extends PlannedSource {
  readonly path: string;
  readonly stream?: RestorePlan['stream'];
}

export async function plannedMoment(stream: MomentSource, bookmark: string, path: string): Promise<PlannedFile> {
  const { target } = stream;
  const { found } = await stream.moments({ bookmark });
  const { size, mtime } = statSync(path);
  const createdAt = found === null ? mtime : new Date(found.at);
  const { segments = 0, bytes = 0, before = null, after = null } = found ?? {};
  // Its state was proven as it was built.
  const source = { path, name: bookmark, sizeBytes: size, createdAt, verified: true, other: null, loss: null };
  return { ...source, stream: { target, bookmark, segments, bytes, before, after } };
}
