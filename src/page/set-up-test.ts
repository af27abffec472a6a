/** The one request whose answer is read while it comes: a test of what is about to be set up, a line of JSON for each finding. */
import type { ErrorAnswer, Finding, SetUp, SetUpLine, TargetReport } from '../http/contract.ts';
import { ApiError, address } from './api.ts';

/** @throws ApiError, also if the server is lost in its middle. */
export async function testSetUp(
  given: SetUp,
  { signal, onFinding }: { readonly signal: AbortSignal; readonly onFinding: (finding: Finding) => void },
): Promise<TargetReport> {
  let report: TargetReport | undefined;
  const take = (text: string): void => {
    if (text.trim() === '') return;
    const line = JSON.parse(text) as SetUpLine; // the server checks its answers against the same contract
    if ('error' in line) throw refused(line, 200);
    if ('finding' in line) onFinding(line.finding);
    else report = line.report;
  };
  try {
    const response = await fetch(address('api/set-up/test'), {
      ...{ method: 'POST', body: JSON.stringify(given), signal },
      headers: { accept: 'application/x-ndjson, application/json', 'content-type': 'application/json' },
      ...{ cache: 'no-store', credentials: 'same-origin' },
    });
    if (!response.ok || response.body === null) throw refused((await response.json()) as ErrorAnswer, response.status);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
    }
    take(rest);
  } catch (error) {
    if (error instanceof ApiError || signal.aborted) throw error;
  }
  if (report !== undefined) return report;
  throw new ApiError('UNREACHABLE', 'no contact with the server', {
    ...{ hint: 'Nothing was kept. Test again once it is back.', status: 0 },
  });
}

function refused({ error }: Pick<ErrorAnswer, 'error'>, status: number): ApiError {
  const { code, message, hint, fields } = error;
  return new ApiError(code, message, { hint, status, ...(fields && { fields }) });
}
