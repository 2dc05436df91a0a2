// User settings: sent only where VS Code says that the user set them. A workspace's own values never count.
import { USER_SETTINGS } from "./contract.gen.ts";

/** What `WorkspaceConfiguration.inspect` tells, as far as it counts here. */
export interface Inspected {
  readonly globalValue?: unknown;
}

/** VS Code's own settings that stand in for ours. */
export const PROXY = "http.proxy";
const PROXY_SUPPORT = "http.proxySupport";

/** What changes the answer of `userSettings`. */
export const SECTIONS = [...USER_SETTINGS.map((name) => `qwenLs.${name}`), PROXY, PROXY_SUPPORT];

/** The settings that the user has set, by the server's names. `inspect` is VS Code's. */
export function userSettings(inspect: (name: string) => Inspected | undefined): Record<string, unknown> {
  const isOff = inspect(PROXY_SUPPORT)?.globalValue === "off";
  const set = [
    ["proxy", isOff ? undefined : inspect(PROXY)?.globalValue] as const,
    ...USER_SETTINGS.map((name) => [name, inspect(`qwenLs.${name}`)?.globalValue] as const),
  ];
  return Object.fromEntries(set.filter(([, value]) => value !== undefined && value !== null && value !== ""));
}
