/** What is asked of very many databases at once holds up nobody else. */
import { expect, test } from 'bun:test';
import { backupFetch } from '../../src/http/mount.ts';
import { createFakeService, fakeGuard } from './fake-service.ts';

const MANY = 300;

for (const path of ['/health', '/metrics', '/api/databases'])
  for (const who of ['a reader', 'a stranger'] as const)
    if (who === 'a reader' || path === '/health')
      test(`others have their turn while ${path} of many databases is answered to ${who}`, async () => {
        let asked = 0;
        const databases = Array.from({ length: MANY }, (_, number) => {
          const service = createFakeService();
          const getStatus = async () => {
            asked++;
            return await service.getStatus();
          };
          return { name: `d${number}`, service: { ...service, getStatus } };
        });
        const routes = backupFetch(fakeGuard(databases), { prefix: '', authorize: () => who === 'a reader' });
        const seen: number[] = [];
        let isAnswered = false;
        const answer = routes(new Request(`http://localhost${path}`)).finally(() => {
          isAnswered = true;
        });
        while (!isAnswered) {
          await new Promise((turn) => setImmediate(turn));
          seen.push(asked);
        }
        await answer;
        expect(asked).toBe(MANY);
        expect(seen.filter((count) => count < MANY).length).toBeGreaterThan(5);
      });
