/**
 * Builds the dashboard into `dist/page` and serves it while developing.
 *
 * Built, every address is relative, so the page works below any prefix. Nothing is inlined, because the server's
 * content security policy allows files of its own origin only.
 *
 * In development Vite listens where the app would (`PORT`) and the app's server listens one port above. Whatever is
 * not a module or an asset of the page goes there, with the original `Host` and `Origin`, so that the server's
 * same-origin check sees what the browser sent.
 */
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { build, defineConfig, type InlineConfig, type Plugin } from 'vite';

const base = '/backup';
const pageFiles = 'html|ts|js|mjs|svelte|css|map|woff2';

/** `/backup` is what people type; relative addresses need `/backup/`. */
const redirectToFolder: Plugin = {
  name: 'redirect-to-folder',
  configureServer(server) {
    server.middlewares.use((request, response, next) => {
      const [path, query] = (request.url ?? '').split('?', 2);
      if (path !== base) return next();
      response
        .writeHead(308, {
          location: `.${base}/${query === undefined ? '' : `?${query}`}`,
        })
        .end();
    });
  },
};

/**
 * Lucide's icons build their elements one by one from data when they are mounted. Written out as templates they are
 * cloned instead: a list of a hundred backups has nine hundred icons, and Svelte's code for unknown elements is not
 * needed at all.
 */
const iconsAsTemplates: Plugin = {
  name: 'icons-as-templates',
  enforce: 'pre',
  transform(code, id) {
    if (!/@lucide\/svelte\/dist\/icons\/[^/]+\.svelte$/.test(id)) return;
    const data = /const iconData = (\{.*\});/.exec(code)?.[1];
    if (data === undefined) throw new Error(`${id} has no data to draw`);
    const { node }: { node: [string, Record<string, string>][] } = JSON.parse(data);
    const shapes = node.map(([tag, attributes]) => {
      const written = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`);
      return `<${tag} ${written.join(' ')} />`;
    });
    return `<script>const { size = 24, class: look } = $props();</script>
<svg xmlns="http://www.w3.org/2000/svg" width={size} height={size} class={['lucide', look]} viewBox="0 0 24 24" fill="none"
stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${shapes.join('')}</svg>`;
  },
};

const plugins = () => [
  iconsAsTemplates,
  tailwindcss(),
  svelte({ configFile: fileURLToPath(new URL('svelte.config.js', import.meta.url)) }),
];
const output = {
  outDir: '../../dist/page',
  assetsInlineLimit: 0,
  modulePreload: { polyfill: false },
  target: 'es2022',
} satisfies InlineConfig['build'];

/**
 * The overview of several databases is built after the page of one, by itself: what both use would else be a file of its
 * own, and make the page of one 3 KB heavier.
 */
const overviewApart: Plugin = {
  name: 'overview-apart',
  apply: 'build',
  async closeBundle() {
    await build({
      ...{ configFile: false, root: 'src/page', base: './', logLevel: 'warn', plugins: plugins() },
      build: {
        ...output,
        emptyOutDir: false,
        copyPublicDir: false,
        rolldownOptions: { input: 'src/page/overview.html' },
      },
    });
  },
};

export default defineConfig(({ command }) => {
  const port = Number(process.env.PORT ?? 3000);
  const server = {
    target: `http://127.0.0.1:${port + 1}`,
    changeOrigin: false,
  };
  return {
    root: 'src/page',
    base: command === 'serve' ? `${base}/` : './',
    plugins: [redirectToFolder, ...plugins(), overviewApart],
    build: {
      ...output,
      emptyOutDir: true,
      license: { fileName: '.vite/licences.json' },
    },
    server: {
      host: '127.0.0.1',
      port,
      strictPort: true,
      proxy: {
        [`^(?!${base}(?:[/?]|$))`]: server,
        [`^${base}/(?!$|[?@]|__|node_modules/|[^?]*\\.(?:${pageFiles})(?:\\?|$))`]: server,
      },
    },
  };
});
