/**
 * A headless browser for the page's tests, from npm alone: `@sparticuz/chromium` carries the program, the few libraries
 * that a bare machine lacks (NSS, NSPR, expat) and a font, so pictures are the same everywhere. Debian's chromium stands in where that program can't run.
 *
 * It is unpacked once, into `node_modules/.cache`, under a temporary name until it is whole: the package's own place,
 * the system's temporary folder, keeps the half file of a test that was killed, and another user's file.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflate } from '@sparticuz/chromium';
import { type Browser, type BrowserContext, chromium, type LaunchOptions } from 'playwright-core';

/**
 * The package's own arguments are left out: `--single-process` ends the browser with its first closed page, and
 * `--disable-web-security` would hide what these tests look for.
 */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const systemBrowser = '/usr/bin/chromium';
const carried = fileURLToPath(new URL('../../node_modules/@sparticuz/chromium/bin', import.meta.url));
const parts = ['chromium.br', 'fonts.tar.br', 'swiftshader.tar.br', 'al2023.tar.br'];

export function openBrowser(): Promise<Browser> {
  return firstThatStarts((options) => chromium.launch(options));
}

/** The browser with a profile that stays in that folder. */
export function openProfile(folder: string): Promise<BrowserContext> {
  return firstThatStarts((options) => chromium.launchPersistentContext(folder, options));
}

async function firstThatStarts<Opened>(open: (options: LaunchOptions) => Promise<Opened>): Promise<Opened> {
  try {
    const folder = await unpack();
    const env = {
      ...process.env,
      LD_LIBRARY_PATH: join(folder, 'al2023/lib'),
      FONTCONFIG_FILE: join(folder, 'fonts.conf'),
    };
    return await open({ executablePath: join(folder, 'chromium'), args, env });
  } catch (error) {
    if (existsSync(systemBrowser)) return open({ executablePath: systemBrowser, args });
    throw new Error('No browser starts here: run `apt-get install -y chromium` as root, then the tests again.', {
      cause: error,
    });
  }
}

/** The folder of the unpacked browser. */
async function unpack(): Promise<string> {
  const { version }: { version: string } = await Bun.file(join(carried, '../package.json')).json();
  const cache = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url));
  const folder = join(cache, `chromium-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const staging = mkdtempSync(`${folder}-`);
  // The package unpacks into the temporary folder, wherever that is.
  const before = process.env.TMPDIR;
  process.env.TMPDIR = staging;
  try {
    await Promise.all(parts.map((part) => inflate(join(carried, part))));
    // The package's own settings name folders of a cloud. Without any font Chromium ends at the first letter.
    writeFileSync(
      join(staging, 'fonts.conf'),
      `<?xml version="1.0"?>
<fontconfig><dir>${join(folder, 'fonts/fonts')}</dir><cachedir>${join(folder, 'fonts-cache')}</cachedir></fontconfig>
`,
    );
    renameSync(staging, folder);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
  return folder;
}
