/**
 * The settings that may change while running: shown, changed, set back to what the environment says. They are kept in the
 * backup folder. A program that is running read them when it started, so a change made here is taken over by its next start.
 */
import type { BackupConfig, Settings } from '../../service/model.ts';
import { settingText, typedSetting } from '../../config/page-settings.ts';
import { configChange } from '../../http/contract.ts';
import { exitCodes } from '../exit-codes.ts';
import { type Session, wrongUse } from '../session.ts';
import { table } from '../text/tables.ts';

export interface ConfigFlags {
  readonly revert?: boolean;
}

export async function configure(
  { service, output }: Session,
  wanted: string | undefined,
  value: string | undefined,
  { revert = false }: ConfigFlags,
): Promise<number> {
  const config = service.getConfig();
  if (wanted === undefined) {
    if (revert) throw wrongUse('say which setting goes back to what the environment says');
    output.answer(config, configText(config, output.width));
    return exitCodes.done;
  }
  const name = settingNames.find((one) => one === wanted);
  if (name === undefined) throw wrongUse(`there is no setting ${wanted}; the settings are ${settingNames.join(', ')}`);
  if (revert && value !== undefined) throw wrongUse('say a value or --revert, and not both');
  if (!revert && value === undefined) {
    output.answer(config, settingText(config[name]));
    return exitCodes.done;
  }
  // The service parses it.
  const change = { [name]: typedSetting(name, value ?? '') } as Partial<Settings>;
  const changed = service.updateConfig(revert ? { revert: [name] } : change);
  output.answer(changed, `${name} is ${settingText(changed[name])} now.`);
  output.note('A running program takes it over when it starts again; saving on its page before that undoes it.');
  return exitCodes.done;
}

const settingNames = Object.keys(configChange.shape).filter((name) => name !== 'revert') as (keyof Settings)[]; // its own keys

function configText(config: BackupConfig, width: number | undefined): string {
  const rows = settingNames.map((name) => [
    name,
    settingText(config[name]),
    name in config.changed ? `changed; the environment says ${settingText(config.changed[name] ?? null)}` : '',
  ]);
  return table(['SETTING', 'VALUE', ''], rows, { width });
}
