/**
 * The dashboard's files by their path, as gzip in base64. Null in the sources, where they are served from `dist/page`:
 * `embed.ts`, the last step of the build, writes them into the package.
 */
export const bundledPage: Readonly<Record<string, string>> | null = null;
