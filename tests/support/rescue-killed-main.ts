/**
 * A rescue, or its undoing, in a process that is killed at one of its steps: for tests. One line of JSON as its argument says
 * which; without a step it goes on to its end. Prints the record.
 */
import { rescueRows } from '../../src/engine/inside/rescue.ts';
import { requireRecord } from '../../src/engine/inside/rescue-record.ts';
import { undoRescue } from '../../src/engine/inside/rescue-undo.ts';

const { step, undo, ...go } = JSON.parse(process.argv[2] ?? '{}');
const onStep = (reached: string) => {
  if (reached === step) process.kill(process.pid, 'SIGKILL');
};
const at = new Date();
if (undo) {
  const { databasePath, folder } = go;
  console.log(JSON.stringify(undoRescue({ databasePath, folder, record: requireRecord(folder, go.id), at, onStep })));
} else {
  console.log(JSON.stringify(rescueRows({ ...go, at, user: null, expected: null, onStep })));
}
