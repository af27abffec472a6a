/** The OpenAPI document of the routes that stand here. */
import { z } from 'zod';
import { json } from '../answers.ts';
import { route } from '../route.ts';

export const documentRoutes = [
  route({
    method: 'GET',
    path: '/api/openapi.json',
    summary: 'This document',
    right: 'read',
    answers: { 200: z.looseObject({}) },
    atTop: ({ site }) => json(site.document()),
  }),
];
