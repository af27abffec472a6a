/** The settings of a service in tests and measurements: the defaults of the table, and what is changed of them. */
import { type PageSettings, pageStart } from '../../src/config/page-settings.ts';
import { databaseSettings } from '../../src/config/settings.ts';
import { s3Settings } from '../../src/config/target-settings.ts';
import { keepSettingsNone } from '../../src/service/targets/retention-policies.ts';

/** The newest 10 are kept, and no others: what is kept beside them is an app's default, and would hide what retention removes. */
export function settingsWith(change: Partial<PageSettings> = {}): PageSettings {
  return { ...pageStart({ ...byDefault, ...keepSettingsNone }), ...change };
}

const { enabled, intervalMinutes, retentionCount, verify, maxAgeMinutes, lossIgnore } = databaseSettings;
const byDefault = {
  enabled: enabled.start,
  intervalMinutes: intervalMinutes.start,
  retentionCount: retentionCount.start,
  verify: verify.start,
  maxAgeMinutes: maxAgeMinutes.start,
  lossIgnore: lossIgnore.start,
  s3Enabled: s3Settings.enabled.start,
  s3Path: s3Settings.path.start,
};
