// Which links of a model's answer may be followed.
const LONGEST = 2048; // characters; longer ones are no address a person could judge
// eslint-disable-next-line no-control-regex -- these are what is looked for
const UNSEEN = /[\u0000-\u0020\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\\]/;

/**
 * The address to follow, or undefined for one that is shown as code instead.
 *
 * Only https, without a user name or password in front of the host, and without characters that do not show.
 * The host is in ASCII (Punycode), so that what is shown is what is asked for.
 */
export function safeLink(href: string): string | undefined {
  if (href.length > LONGEST || UNSEEN.test(href) || !/^https:\/\//i.test(href) || !URL.canParse(href)) {
    return undefined;
  }
  const url = new URL(href);
  return url.protocol === "https:" && url.username === "" && url.password === "" ? url.href : undefined;
}
