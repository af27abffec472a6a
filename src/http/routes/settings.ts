/** The settings that may be changed while running. */
import { authorizeRetention, changesRetention } from '../access/rights.ts';
import { config, configChange } from '../contract.ts';
import { route } from '../route.ts';

export const settingRoutes = [
  route({
    method: 'GET',
    path: '/api/config',
    summary: 'The settings',
    right: 'read',
    answers: { 200: config },
    handle: ({ service }) => service.getConfig(),
  }),
  route({
    method: 'POST',
    path: '/config',
    summary: 'Change settings',
    right: 'configure',
    body: configChange,
    wrongBody: 'BAD_CONFIG',
    answers: { 200: config },
    async handle({ service, body, authorize }) {
      if (changesRetention(body, service.getConfig())) await authorizeRetention(authorize);
      return service.updateConfig(body);
    },
  }),
];
