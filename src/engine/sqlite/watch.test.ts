import { expect, test } from 'bun:test';
import { notWatched } from './watch.ts';

/** As both runtimes throw them when `ulimit -u` leaves no thread. */
const ofNode = Object.assign(new Error('EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' });
const ofBun = new TypeError('Failed to spawn worker thread');

test('only a thread that the system has not is a want of resources', () => {
  const wanting = [ofNode, ofBun, Object.assign(new Error('no more'), { code: 'EMFILE' }), new Error('spawn ENOMEM')];
  expect(wanting.map((error) => notWatched(error).code)).toEqual(wanting.map(() => 'EXHAUSTED'));
  for (const error of [new Error('it ended with code 1'), new SyntaxError('Unexpected token'), 'odd']) {
    const { code, message } = notWatched(error);
    expect([code, message]).toEqual(['JOB_DIED', expect.stringContaining('did not begin')]);
  }
});
