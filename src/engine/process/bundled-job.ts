/**
 * The job's whole program as one text, for apps whose bundler took `run-job` away from the file beside it. Null in the
 * sources: `embed.ts`, the last step of the build, writes it into the package.
 */
export const bundledJob: string | null = null;
