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
import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig, type Plugin } from 'vite';

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

export default defineConfig(({ command }) => {
  const port = Number(process.env.PORT ?? 3000);
  const server = {
    target: `http://127.0.0.1:${port + 1}`,
    changeOrigin: false,
  };
  return {
    root: 'src/features/backup/pages',
    base: command === 'serve' ? `${base}/` : './',
    plugins: [redirectToFolder, tailwindcss(), svelte({ configFile: '../../../../svelte.config.js' })],
    build: {
      outDir: '../../../../dist/page',
      emptyOutDir: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      target: 'es2022',
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
