/** Loaded into a job before its own code: gives it another clock. */
const shiftMs = Number(process.env['TEST_CLOCK_SHIFT_MS'] ?? 0);
const frozenAt = process.env['TEST_CLOCK_FROZEN_AT'] ?? '';
const TrueDate = Date;

globalThis.Date = class extends TrueDate {
  constructor(...values: [] | [string | number | Date]) {
    if (values.length === 0) super(frozenAt === '' ? TrueDate.now() + shiftMs : TrueDate.parse(frozenAt));
    else super(values[0]);
  }
} as DateConstructor;
