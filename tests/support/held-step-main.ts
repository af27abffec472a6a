/** Loaded into a job before its own code; see `held-step.ts`. */
const step = process.env['TEST_HELD_AT'] ?? '';
const makeBuffer = Buffer.from;

/** A line is written in as many pieces as the pipe takes, and what is left is looked at after each: after the first it stops. */
function stopWhenWritten(line: Buffer): void {
  line.subarray = (...range) => {
    process.kill(process.pid, 'SIGSTOP');
    return Buffer.prototype.subarray.apply(line, range);
  };
}

Object.defineProperty(Buffer, 'from', {
  value: (...given: readonly unknown[]) => {
    const made: Buffer = Reflect.apply(makeBuffer, Buffer, given);
    if (String(given[0]).startsWith(`{"type":"step","name":"${step}"`)) stopWhenWritten(made);
    return made;
  },
});
