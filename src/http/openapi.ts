/**
 * `GET /api/openapi.json`: the contract as OpenAPI 3.1, made from the table of routes and the schemas that its rows name, so
 * that it cannot say anything else than they do.
 */
import { z } from 'zod';
import { VERSION } from '../version.ts';
import { errorAnswer } from './contract.ts';
import type { Entry } from './layout.ts';
import { parameters } from './parameters.ts';

export interface OpenApi {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, unknown>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
}

export interface Operation {
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>;
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly schema: unknown;
}

type Content = Readonly<Record<string, { readonly schema?: unknown }>>;

const FORM = 'application/x-www-form-urlencoded';

export function openApi(entries: readonly Entry[]): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const entry of entries) {
    if (entry.route.fallback) continue;
    const address = entry.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[address] = { ...paths[address], [entry.route.method.toLowerCase()]: operation(entry) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'velist-backup', version: VERSION },
    servers: [{ url: '..' }],
    paths,
    components: {
      schemas: { Error: toSchema(errorAnswer) },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'velist-backup' },
      },
    },
    security: [{ token: [] }, { session: [] }, {}],
  };
}

function operation({ route, path }: Entry): Operation {
  const inAddress = [...pathParameters(path), ...(route.query ? queryParameters(route.query) : [])];
  const isBytes = route.bytesMax !== undefined;
  const bodyType = isBytes ? 'application/octet-stream' : route.isForm ? FORM : 'application/json';
  return {
    summary: route.summary,
    ...(inAddress.length === 0 ? {} : { parameters: inAddress }),
    ...(route.body
      ? {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { [bodyType]: isBytes ? {} : { schema: toSchema(route.body, 'input') } },
          },
        }
      : {}),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, answer]) => [
          status,
          {
            description: status.startsWith('2') ? 'Done' : 'Not done',
            content:
              typeof answer === 'string' ? { [answer]: {} } : { 'application/json': { schema: toSchema(answer) } },
          },
        ]),
      ),
      default: {
        description: 'What went wrong. Long work may answer 200 and have the error in the body.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function pathParameters(path: string): readonly Parameter[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => {
    const form = parameters[name];
    if (!form) throw new Error(`the parameter ${name} of ${path} has no form`);
    return { name, in: 'path', required: true, schema: toSchema(form) };
  });
}

function queryParameters(query: z.ZodObject): readonly Parameter[] {
  return Object.entries(query.shape).map(([name, schema]) => ({
    name,
    in: 'query',
    required: !(schema as z.ZodType).safeParse(undefined).success,
    schema: toSchema(schema as z.ZodType, 'input'), // a shape holds schemas
  }));
}

function toSchema(schema: z.ZodType, io: 'input' | 'output' = 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
