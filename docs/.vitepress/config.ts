/** The documentation's site: `npm run docs` while writing, `npm run docs:build` for the finished files. */
import { defineConfig } from 'vitepress';

export default defineConfig({
  title: 'Velist Backup',
  description: 'Backups of a SQLite database in use: consistent, proven, restorable.',
  lang: 'en',
  cleanUrls: true,
  // The demo's page, which runs on the reader's own machine.
  ignoreDeadLinks: 'localhostLinks',
  rewrites: { 'benchmarks/README.md': 'benchmarks/index.md' },
  themeConfig: {
    search: { provider: 'local' },
    outline: 'deep',
    nav: [
      { text: 'Start', link: '/' },
      { text: 'Restore', link: '/restore' },
      { text: 'Configuration', link: '/configuration' },
    ],
    sidebar: [
      {
        text: 'Use',
        items: [
          { text: 'Start', link: '/' },
          { text: 'A first hour', link: '/first-hour' },
          { text: 'Restore', link: '/restore' },
          { text: 'Continuous backup', link: '/continuous' },
          { text: 'Rescue rows', link: '/rescue' },
          { text: 'When data is lost', link: '/losses' },
          { text: 'The page', link: '/page' },
          { text: 'The command line', link: '/cli' },
          { text: 'In your app', link: '/embedding' },
          { text: 'Beside any app', link: '/sidecar' },
          { text: 'Deployment', link: '/deployment' },
          { text: 'Several databases', link: '/databases' },
          { text: 'What is kept', link: '/retention' },
          { text: 'Monitoring', link: '/monitoring' },
          { text: 'Configuration', link: '/configuration' },
          { text: 'S3', link: '/s3' },
          { text: 'A second folder', link: '/folder' },
          { text: 'Doctor', link: '/doctor' },
          { text: 'Security', link: '/security' },
          { text: 'From Velist', link: '/from-velist' },
          { text: 'Troubleshooting', link: '/troubleshooting' },
        ],
      },
      {
        text: 'Understand',
        items: [
          { text: 'How it works', link: '/how-it-works' },
          { text: 'Compared with others', link: '/comparison' },
          { text: 'Benchmarks', link: '/benchmarks/' },
          { text: 'Hard cases', link: '/hard-cases' },
          { text: 'S3 faults', link: '/s3-faults' },
          { text: 'Stability', link: '/stability' },
          { text: 'Threat model', link: '/threat-model' },
          { text: 'ASVS: web, sign-in, rights', link: '/asvs' },
          { text: 'ASVS: data, files, code', link: '/asvs-rest' },
          { text: 'Hostile requests', link: '/hostile-requests' },
          { text: 'Architecture', link: '/architecture' },
        ],
      },
    ],
  },
});
