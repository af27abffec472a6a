/**
 * The addresses that a person on the page may send the server to: nearly any, because MinIO or a chat of one's own stands
 * on the same machine or network as often as not. What is refused is no receiver of backups or messages and would give an
 * attacker the machine: the link-local addresses, at which clouds hand out the keys of a machine to whoever asks from it,
 * and the other addresses that they use for that.
 *
 * A name is looked up now, and again when it is asked: one that leads elsewhere by then is not noticed.
 */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { SettingsError } from '../state/settings.ts';

const refused = new BlockList();
refused.addSubnet('169.254.0.0', 16, 'ipv4'); // Amazon, Google, Azure and most others
refused.addSubnet('fe80::', 10, 'ipv6');
refused.addAddress('fd00:ec2::254', 'ipv6'); // Amazon
refused.addAddress('fd20:ce::254', 'ipv6'); // Google
refused.addAddress('100.100.100.200', 'ipv4'); // Alibaba
refused.addAddress('168.63.129.16', 'ipv4'); // Azure
refused.addAddress('192.0.0.192', 'ipv4'); // Oracle
refused.addSubnet('0.0.0.0', 8, 'ipv4'); // this machine, by a name that nobody means
refused.addSubnet('224.0.0.0', 3, 'ipv4');
refused.addSubnet('ff00::', 8, 'ipv6');

/** @param field of the form. @throws SettingsError */
export async function requireAllowedHost(host: string, field: string): Promise<void> {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  if ((await addressesOf(bare)).some(isRefused)) {
    throw new SettingsError({
      [field]: `${host} is an address at which a cloud tells its machines their keys, and no server for backups or messages`,
    });
  }
}

/** None for a name that is not known: whoever asks it hears so. */
async function addressesOf(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  return await lookup(host, { all: true }).then(
    (found) => found.map(({ address }) => address),
    () => [],
  );
}

function isRefused(address: string): boolean {
  const [, dotted] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address) ?? [];
  const mapped =
    dotted ??
    (high && low
      ? [high, low]
          .map((part) => Number.parseInt(part, 16))
          .flatMap((n) => [n >> 8, n & 255])
          .join('.')
      : null);
  const bare = mapped ?? address.replace(/%.*$/, '');
  return refused.check(bare, isIP(bare) === 6 ? 'ipv6' : 'ipv4');
}
