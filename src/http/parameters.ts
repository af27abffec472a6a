/** The parameters of addresses: each has one form wherever it stands. */
import { z } from 'zod';
import { arrivalId, backupName, databaseName, rescueId, setUpPart, targetName } from './contract.ts';

export const parameters: Readonly<Record<string, z.ZodType>> = {
  filename: z.string().regex(backupName),
  database: z.string().regex(databaseName),
  name: targetName,
  part: setUpPart,
  arrival: arrivalId,
  rescue: rescueId,
};
