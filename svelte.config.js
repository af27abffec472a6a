/** Runes everywhere; TypeScript in components is type-only syntax, which Svelte strips itself. */
export default { compilerOptions: { runes: true } };
