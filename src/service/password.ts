/**
 * How long a password is and should be. OWASP ASVS 5.0, 6.2.1: eight characters at least. NIST SP 800-63B-4, 3.1.1.2:
 * fifteen where it is the only factor, each code point counted as one, after Unicode is in one form.
 */
export const PASSWORD_LEAST = 8;
export const PASSWORD_GOOD = 15;

export function passwordLength(password: string): number {
  return [...password.normalize('NFC')].length;
}
