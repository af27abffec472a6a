/** A machine as a process of its own: it starts the service of its environment, and backs up once for each line it is sent. */
import { createInterface } from 'node:readline';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';

const service = createServiceFromEnvironment({ write: () => {} });
service.start();
for await (const _ of createInterface({ input: process.stdin })) {
  const { uploaded } = await service.performBackup();
  const [target] = (await service.getStatus()).targets;
  console.log(JSON.stringify({ stored: uploaded?.['folder'], code: target?.error?.code ?? null }));
}
await service.close();
