/** For what lies above the service: the real path of a file, without opening it. */
export { realPathOfFile } from '../engine/sqlite/real-path.ts';
