/** What is said where no backup fails: settings, answers of S3, backups that changed, the check. Rows of docs/hard-cases.md. */
import { expect, test } from 'bun:test';
import { makeDatabase } from '../support/scratch.ts';
import { Scene } from './hard-cases.ts';
import { judgeCases } from './hard-cases-judge.ts';
import { answerCases, keptCases, settingCases } from './hard-cases-words.ts';

for (const { name, ask, says } of [...settingCases, ...answerCases, ...keptCases, ...judgeCases])
  test(`it is said: ${name}`, async () => {
    const scene = new Scene();
    try {
      makeDatabase(scene.databasePath);
      const { code = '', message, hint = '' } = await ask(scene);
      expect([code, message, hint].join(' ')).toMatch(says);
    } finally {
      await scene.close();
    }
  }, 120_000);
